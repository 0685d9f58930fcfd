"""The state of a store: content, blocks, logs, secret, nodes, caches and what MLflow keeps, in one folder.

With SQLite that is the server's home. On PostgreSQL it is the home of the first server of the database, which says so in
the store; servers of other homes share it where they see it. They know it by an id in it, not by its path.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mayfly.drivers.files import write_durably
from mayfly.drivers.server_folder import ServerFolder
from mayfly.kit.errors import Conflict
from mayfly.main.folder import Home, boot_id
from mayfly.store import dialect, state
from mayfly.store.state import Whereabouts
from mayfly.store.unit import Store

_ID = "state.id"
_SECRET = "secret"


class State:
    """This server is one of the state's for as long as it lives. Raises as `find`, and Conflict `ServersElsewhere`."""

    def __init__(self, home: Home, store: Store) -> None:
        self.path = find(home.path, store)
        self.servers = ServerFolder(self.path, home.id())
        here = boot_id()
        for other in self.servers.others():
            if here != other.boot:
                raise Conflict(
                    "ServersElsewhere",
                    f"The server {other.url} on {other.host} has this database, and the nodes of both would be slices of "
                    "one machine each.",
                    remedy=f"Start this server on {other.host}, or stop that one first.",
                )

    def secret(self) -> bytes:
        """What tokens are signed with, made at the first start of the first server."""
        path = self.path / _SECRET
        with _alone(self.path / "state.lock"):
            if not path.exists():
                write_durably(path, secrets.token_hex(32).encode())
        return path.read_bytes()


def find(home: Path, store: Store) -> Path:
    """Where the state is; the home becomes it for a store that has none. Raises Conflict `StateElsewhere`."""
    if dialect.is_sqlite(store.engine):
        return home
    told = store.read(state.whereabouts)
    if told is None:
        if store.read(state.used) and not (home / _SECRET).exists():
            raise _elsewhere("The files of this database's jobs lie in the home of the server that had it so far")
        told = _settle(store, Whereabouts(_own_id(home), str(home), socket.gethostname()))
    if _id_of(Path(told.path)) == told.id:
        return Path(told.path)
    if _id_of(home) == told.id:  # the folder was moved
        _settle(store, Whereabouts(told.id, str(home), socket.gethostname()), instead_of=told)
        return home
    raise _elsewhere(
        f"The files of this database's jobs lie in {told.path} on {told.host}, which is not to be seen here"
    )


def _settle(store: Store, place: Whereabouts, instead_of: Whereabouts | None = None) -> Whereabouts:
    return store.write(lambda unit: state.settle(unit, place, instead_of))


def _elsewhere(why: str) -> Conflict:
    return Conflict(
        "StateElsewhere",
        f"{why}.",
        remedy="Start this server where that folder is, at the same path; or name another database.",
    )


def _own_id(folder: Path) -> str:
    path = folder / _ID
    if not path.exists():
        write_durably(path, secrets.token_hex(16).encode())
    return path.read_text()


def _id_of(folder: Path) -> str:
    try:
        return (folder / _ID).read_text()
    except OSError:
        return ""


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Until the block ends no other server does the same."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
