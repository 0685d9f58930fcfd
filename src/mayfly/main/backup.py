"""The composition root of backups: `python -m mayfly.main.backup make|restore --home FOLDER --at FOLDER`.

It works on the folders themselves, whether a server lives there or not, and tells what it does as lines of JSON: how far
it is, and at the end what it made or why it did not.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from mayfly import __version__
from mayfly.drivers.content_folder import ContentFolder
from mayfly.drivers.files import sync, write_durably
from mayfly.drivers.log_folder import LogFolder
from mayfly.kit.errors import Broken, Conflict, Invalid, MayflyError, NotFound
from mayfly.main import state
from mayfly.main.folder import Home, database_of
from mayfly.main.making import SteadyClock
from mayfly.services import backups
from mayfly.services.backups import Kept
from mayfly.store import schema
from mayfly.store.unit import Store
from mayfly.transfer.killpoints import lasting

_FORMAT = 1
_ABOUT = "backup.json"
_OF_STATE = (("secret",), ("mlflow",))
"""Files and folders that all servers of the store have; of the last, what MLflow keeps for itself."""
_OF_HOME = (("config.yml",), ("tls",))
"""Those of this server's own, with the authority that its clients trust."""
_PASSING = ("-wal", "-shm", ".log", ".part", ".lock", ".address")


def main() -> int:
    options = _options()
    os.umask(0o077)
    try:
        act = make if options.what == "make" else restore
        _tell(made=act(options.home.absolute(), options.at.absolute()))
    except MayflyError as error:
        _tell(error=[type(error).__name__, error.code, error.message, error.remedy])
        return 1
    except OSError as error:
        _tell(error=[Broken.__name__, "BackupFailed", f"{error.filename}: {error.strerror}.", None])
        return 1
    return 0


def make(home: Path, at: Path) -> dict[str, Any]:
    if not any((home / name).exists() for name in ("secret", "database")):
        raise NotFound("NothingToBackUp", f"No server has ever run in {home}.", remedy="Set MAYFLY_HOME to its folder.")
    if at.exists() and any(at.iterdir()) and not (at / _ABOUT).exists():
        raise Conflict(
            "BackupPlaceInUse", f"{at} holds something else.", remedy="Name a folder that is new, empty or a backup."
        )
    at.mkdir(parents=True, exist_ok=True, mode=0o700)
    _alone(at)
    store = Store(database_of(home), lambda _topics: None)
    clock = SteadyClock()
    rows = at / f"rows-{clock.now()}.jsonl"
    count: list[int] = []
    try:
        place = home if store.read(schema.version) is None else state.find(home, store)
        keep = lambda lines: count.append(_write(rows, lines))  # noqa: E731
        version = backups.make(store, _kept(place), _kept(at), keep, _progress)
        epoch = schema.epoch(store)
    finally:
        store.close()
    _copy_beside(place, at, *_OF_STATE)
    _copy_beside(home, at, *_OF_HOME)
    about = {
        "format": _FORMAT,
        "mayfly": __version__,
        "schema": version,
        "rows": rows.name,
        "lines": count[-1],
        "epoch": epoch,
        "made_at": clock.now(),
    }
    write_durably(at / _ABOUT, json.dumps(about).encode())
    for old in at.glob("rows-*.jsonl"):
        if old != rows:
            old.unlink()
    return {**about, "path": str(at)}


def restore(home: Path, at: Path) -> dict[str, Any]:
    about = _about(at)
    folder = Home(home)
    secret = home / "secret"  # the backup's own is there when a restore was cut off at its end
    if (home / "mayfly.db").exists() or (secret.exists() and secret.read_bytes() != (at / "secret").read_bytes()):
        raise Conflict(
            "StateFolderInUse",
            f"{home} holds the state of a server already.",
            remedy="Move it away, or set MAYFLY_HOME to a new folder, and restore again.",
        )
    part = home / "mayfly.db.restoring"
    _clear(part)  # what a restore left that was cut off
    url = folder.database(os.environ.get("MAYFLY_DATABASE", ""))
    local = url.startswith("sqlite")
    backups.restore_content(_kept(at).content, _kept(home).content, _progress)
    _copy_beside(at, home, *_OF_STATE)
    _copy_beside(at, home, *_OF_HOME)
    _copy_beside(at, home, (), ("logs",))
    store = Store(f"sqlite:///{part}" if local else url, lambda _topics: None)
    try:  # last: what a store names is there
        rows = lambda: (at / about["rows"]).read_text(encoding="utf-8").splitlines()  # noqa: E731
        epoch = backups.restore_rows(store, about["schema"], rows, about["lines"], SteadyClock().now())
    finally:
        store.close()
    if local:
        whole = home / "mayfly.db.restored"
        _copy_database(part, whole)
        sync(whole)
        with lasting("server:store restored"):
            whole.rename(home / "mayfly.db")
            sync(home)
        _clear(part)
    return {**about, "epoch": epoch, "path": str(home)}


def _kept(folder: Path) -> Kept:
    return Kept(ContentFolder(folder / "content"), LogFolder(folder / "logs"))


def _about(at: Path) -> dict[str, Any]:
    try:
        about = json.loads((at / _ABOUT).read_bytes())
    except FileNotFoundError as error:
        raise NotFound("BackupNotFound", f"There is no backup in {at}: it holds no {_ABOUT}.") from error
    except ValueError as error:
        raise Invalid("BackupDamaged", f"{at / _ABOUT} is no JSON.") from error
    if about.get("format") != _FORMAT:
        raise Invalid("BackupTooNew", f"A newer Mayfly ({about.get('mayfly')}) made the backup in {at}.")
    return about


def _write(path: Path, lines: Iterator[str]) -> int:
    count = 0
    with path.open("x", encoding="utf-8") as file:
        for line in lines:
            file.write(f"{line}\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def _alone(at: Path) -> None:
    """Until this process ends nobody else makes a backup there."""
    try:
        fcntl.flock(os.open(at / "backup.lock", os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        why = f"Another command makes a backup in {at} just now."
        raise Conflict("BackupRunning", why, remedy="Wait until it is done, or name another folder.") from error


def _copy_beside(source: Path, target: Path, files: Sequence[str], folders: Sequence[str]) -> None:
    """Each file whole or not at all: what an earlier backup had stays until its successor is there."""
    for name in files:
        with suppress(FileNotFoundError):
            write_durably(target / name, (source / name).read_bytes())
    for name in folders:
        for path in (source / name).rglob("*"):
            copy = target / path.relative_to(source)
            if path.is_symlink() or not path.is_file() or (name != "logs" and path.name.endswith(_PASSING)):
                continue
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = copy.with_name(f"{copy.name}.part")
            _copy_database(path, part) if path.suffix == ".db" else shutil.copyfile(path, part)
            sync(part)
            part.rename(copy)
            sync(copy.parent)


def _copy_database(source: Path, target: Path) -> None:
    """As of one moment, whoever writes to it."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)


def _clear(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def _progress(what: str, done: int, total: int) -> None:
    if done == total or done % 50 == 0:
        _tell(what=what, done=done, total=total)


def _tell(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mayfly.main.backup")
    parser.add_argument("what", choices=("make", "restore"))
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--at", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
