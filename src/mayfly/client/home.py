"""The state folder as a client sees it: where it is, and what the server that lives there has written down.

The server owns the folder's content; a client only reads `server.json` and `token` (both mode 0600).
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RECORD = "server.json"
SERVER_LOCK = "server.lock"
SERVER_LOG = "server.log"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """`server.json`: the server that last became ready here. It may be dead by now (`alive`)."""

    url: str
    pid: int
    version: str
    started_at: int
    automatic: bool
    token_file: Path
    boot_id: str
    secure_url: str = ""
    """Where it is found by TLS; '' for a server that is too old for it."""
    authority: Path = Path()
    """The certificate to trust there."""

    def alive(self) -> bool:
        """Whether a process of that number runs and this is still the boot it was started in. A number may have been
        given to another process since, so only the server's own answer is proof."""
        if self.boot_id and self.boot_id != boot_id():
            return False
        if os.name != "posix":
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return not _ended(self.pid)

    def token(self) -> str:
        """The bearer token. Raises OSError when the file is gone or not ours to read."""
        return self.token_file.read_text(encoding="utf-8").strip()


def state_folder(environ: Mapping[str, str]) -> Path:
    """`MAYFLY_HOME`, else /var/lib/mayfly for root, else $XDG_DATA_HOME/mayfly or ~/.local/share/mayfly."""
    if named := environ.get("MAYFLY_HOME"):
        return Path(named).expanduser().absolute()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/mayfly")
    if (data := environ.get("XDG_DATA_HOME")) and Path(data).is_absolute():
        return Path(data) / "mayfly"
    return own_folder(environ) / ".local" / "share" / "mayfly"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """For what may be lost: $XDG_CACHE_HOME/mayfly or ~/.cache/mayfly. It need not exist."""
    if (cache := environ.get("XDG_CACHE_HOME")) and Path(cache).is_absolute():
        return Path(cache) / "mayfly"
    return own_folder(environ) / ".cache" / "mayfly"


def read_record(folder: Path) -> ServerRecord | None:
    """What `server.json` says, None where there is none or it cannot be understood."""
    try:
        raw = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return ServerRecord(
            url=str(raw["url"]).rstrip("/"),
            pid=int(raw["pid"]),
            version=str(raw.get("version", "")),
            started_at=int(raw.get("started_at", 0)),
            automatic=bool(raw.get("automatic", False)),
            token_file=Path(raw.get("token_file") or folder / "token"),
            boot_id=str(raw.get("boot_id", "")),
            secure_url=str(raw.get("secure_url", "")),
            authority=Path(raw.get("authority", "")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def boot_id() -> str:
    """This boot's name on Linux, '' elsewhere."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _ended(pid: int) -> bool:
    """Whether the process has ended and only waits for its parent, such as a command that streams, to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def own_folder(environ: Mapping[str, str]) -> Path:
    """The user's home; where HOME is empty, as the user data base has it."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) if home else Path(f"~{getpass.getuser()}").expanduser()
