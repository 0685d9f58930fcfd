"""The state folder as the server keeps it: private, locked by one live server, with the files that clients look for."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import secrets
import socket
from pathlib import Path

from mayfly import __version__
from mayfly.drivers.files import write_durably
from mayfly.kit.errors import Conflict, Forbidden
from mayfly.services.tokens import Principal, Tokens
from mayfly.spec import document, settings
from mayfly.spec.settings import Settings
from mayfly.store.unit import database_url

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StateFolder:
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

    def secret(self) -> bytes:
        """What tokens are signed with, made at the first start."""
        path = self.path / "secret"
        if not path.exists():
            write_durably(path, secrets.token_hex(32).encode())
        return path.read_bytes()

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

    def announce(self, url: str, secure_url: str, authority: Path, started_at: int, automatic: bool) -> None:
        content = {
            "url": url,
            "secure_url": secure_url,
            "authority": str(authority),
            "pid": os.getpid(),
            "version": __version__,
            "started_at": started_at,
            "automatic": automatic,
            "token_file": str(self.path / "token"),
            "boot_id": _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "",
        }
        write_durably(self.path / "server.json", json.dumps(content).encode())

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


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.geteuid()}"
