"""What is promised to survive power loss is on the disk before anybody relies on it: watched at the calls themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import text

from mayfly.drivers.content_folder import ContentFolder
from mayfly.kit.ids import Digest
from mayfly.node import supervisor
from mayfly.store.unit import Store
from mayfly.testing.databases import Databases

_WATCHED = {os.fsync: "fsync", os.rename: "name", os.replace: "name", os.write: "write"}


@contextmanager
def calls() -> Iterator[list[str]]:
    """The calls of this thread that make something durable or give it its name, in order."""
    seen: list[str] = []

    def watch(_frame: object, event: str, argument: object) -> None:
        if event == "c_call" and (name := _WATCHED.get(argument)) is not None:  # type: ignore[call-overload]
            seen.append(name)

    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def test_the_store_waits_for_the_disk(databases: Databases, tmp_path: Path) -> None:
    store = Store(databases.fresh("sqlite", tmp_path), lambda topics: None)
    asked = store.write(lambda unit: unit.connection.scalar(text("PRAGMA synchronous")))
    journal = store.read(lambda connection: connection.scalar(text("PRAGMA journal_mode")))
    store.close()
    assert (asked, journal) == (2, "wal"), "FULL: each commit is synced before it returns"


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    content = ContentFolder(tmp_path)
    named, streamed = b"some bytes", b"others"
    for data in (named, streamed):  # their folders are there, so that what is synced is the content
        (tmp_path / sha256(data).hexdigest()[:2]).mkdir()
    for put in (
        lambda: content.put(Digest(sha256(named).hexdigest()), [named]),
        lambda: _streamed(content, streamed),
    ):
        with calls() as seen:
            put()
        at = seen.index("name")
        assert "fsync" in seen[:at], "its bytes"
        assert "fsync" in seen[at + 1 :], "its name"


def _streamed(content: ContentFolder, data: bytes) -> None:
    incoming = content.begin()
    incoming.write(data)
    incoming.keep()


def test_an_exit_record_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    with calls() as seen:
        supervisor.write_durably(str(tmp_path / "exit-0.json"), {"code": 0})
    assert seen == ["write", "fsync", "name", "fsync"]


def test_nobody_is_answered_before_the_commit(databases: Databases, tmp_path: Path) -> None:
    """The commit of a batch fails at its last moment: everybody in it hears that, and nothing of it is there."""
    store = Store(databases.fresh("sqlite", tmp_path), lambda topics: None)

    def work(unit) -> str:
        unit.connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        unit.connection.execute(text("INSERT INTO meta (key, value) VALUES ('mine', '1')"))
        unit.connection.execute(
            text(
                "INSERT INTO attempts (job, attempt, epoch, placement, state, created_at) "
                "VALUES ('nobody', 1, 1, '', 'live', 0)"
            )
        )
        return "kept"

    future = store.submit(work)
    with pytest.raises(Exception, match="FOREIGN KEY"):
        future.result(10)
    kept = store.read(lambda connection: connection.scalar(text("SELECT value FROM meta WHERE key = 'mine'")))
    store.close()
    assert kept is None
