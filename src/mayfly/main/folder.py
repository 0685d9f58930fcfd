"""A server's own folder, its home: private, locked by one live server, with the files that its clients look for. What jobs
and data need lies in the state folder (`main.state`), which is the same one unless servers share a database."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

from mayfly import __version__
from mayfly.drivers.files import write_durably
from mayfly.kit.errors import Conflict, Forbidden
from mayfly.services.tokens import Principal, Tokens
from mayfly.spec import document, settings
from mayfly.spec.settings import Settings
from mayfly.store.unit import database_url

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Home:
    """Holds `server.lock` for as long as it lives. Raises Conflict `ServerRunning` when another server does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.stat().st_uid != os.geteuid():
            raise Forbidden(
                "StateFolderOfAnother",
                f"The state folder {path} belongs to another user.",
                remedy="Set MAYFLY_HOME to a folder of your own.",
            )
        path.chmod(0o700)
        self._settings: tuple[tuple[int, int, int], Settings] | None = None
        self._lock = os.open(path / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "ServerRunning", f"A server runs already in {path}.", remedy="`mayfly status` shows it."
            ) from error

    def id(self) -> str:
        """The server's name among those of its store, made at its first start."""
        path = self.path / "server.id"
        if not path.exists():
            write_durably(path, f"server_{secrets.token_hex(8)}".encode())
        return path.read_text()

    def database(self, given: str) -> str:
        """The URL of the store: what is given now, else what was given last, else the SQLite file of this folder. It is
        remembered, so that a server started later by a command finds the same jobs."""
        if given:
            write_durably(self.path / "database", given.encode())
        return database_of(self.path)

    def keep_user_token(self, tokens: Tokens) -> None:
        write_durably(self.path / "token", tokens.issue(Principal("user", user_name())).encode() + b"\n")

    def settings(self) -> Settings:
        """`config.yml` as it is now; read again when it has changed. Raises Invalid `ConfigInvalid` and those of
        `spec.document.load`."""
        path = self.path / "config.yml"
        try:
            told = path.stat()
        except FileNotFoundError:
            return Settings()
        stamp = (told.st_mtime_ns, told.st_size, told.st_ino)
        if self._settings is None or self._settings[0] != stamp:
            self._settings = stamp, settings.parse(document.load(path.read_bytes(), str(path)))
        return self._settings[1]

    def bind(self, file: str = "port") -> socket.socket:
        """A loopback port: the one of the last time (which `file` keeps) where it is still free, so that URLs outlive a
        restart. Only where the protocol is named does asyncio send small answers at once; else each call of a kept
        connection costs 40 ms."""
        for port in (self._last_port(file), 0):
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                listener.close()
                continue
            listener.listen(2048)
            write_durably(self.path / file, str(listener.getsockname()[1]).encode())
            return listener
        raise Forbidden("NoPort", "No loopback port can be had.")

    def record(
        self, url: str, secure_url: str, authority: Path, started_at: int, automatic: bool
    ) -> dict[str, str | int | bool]:
        """What there is to know of the server that listens there."""
        return {
            "url": url,
            "secure_url": secure_url,
            "authority": str(authority),
            "pid": os.getpid(),
            "version": __version__,
            "started_at": started_at,
            "automatic": automatic,
            "token_file": str(self.path / "token"),
            "boot_id": boot_id(),
            "host": socket.gethostname(),
        }

    def announce(self, record: Mapping[str, str | int | bool]) -> None:
        write_durably(self.path / "server.json", json.dumps(record).encode())

    def withdraw(self) -> None:
        (self.path / "server.json").unlink(missing_ok=True)

    def _last_port(self, file: str) -> int:
        try:
            return int((self.path / file).read_text())
        except (OSError, ValueError):
            return 0


def database_of(folder: Path) -> str:
    """The URL of the store that a server of this folder has."""
    path = folder / "database"
    told = path.read_text() if path.exists() else "sqlite"
    return database_url(folder) if told == "sqlite" else told


def boot_id() -> str:
    """Which start of which machine this is; '' where that cannot be told."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.geteuid()}"
