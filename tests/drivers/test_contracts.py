"""The concrete drivers, and the one in memory that tests use, keep their ports' contracts."""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mayfly.drivers.block_folder import BlockFolder
from mayfly.drivers.content_folder import ContentFolder
from mayfly.drivers.local import LocalProvider
from mayfly.drivers.log_folder import LogFolder
from mayfly.kit.clock import Millis
from mayfly.kit.ids import Digest, NodeId
from mayfly.ports.compute import ComputeProvider
from mayfly.testing.blocks import BlockContract
from mayfly.testing.content import ContentContract
from mayfly.testing.logs import LogContract
from mayfly.testing.nodes import until
from mayfly.testing.providers import MemoryMachines, MemoryProvider, ProviderContract
from mayfly.testing.snapshots import machine


class TestContentFolder(ContentContract):
    @pytest.fixture
    def content(self, tmp_path: Path) -> ContentFolder:
        return ContentFolder(tmp_path / "content")

    @pytest.fixture
    def leftovers(self, tmp_path: Path) -> Callable[[], list[str]]:
        incoming = tmp_path / "content" / "incoming"
        return lambda: [path.name for path in incoming.rglob("*")]


def test_what_another_server_has_just_named_is_durable_before_anybody_is_told(tmp_path: Path) -> None:
    settled: list[object] = []
    one = ContentFolder(tmp_path / "content", shared=True)
    other = ContentFolder(tmp_path / "content", lambda _folder, paths: settled.append(paths), shared=True)
    digest = Digest(hashlib.sha256(b"1").hexdigest())
    assert other.missing([digest]) == [digest] and not settled
    one.put(digest, [b"1"])
    assert other.missing([digest]) == [] and settled


def test_nothing_is_removed_while_another_server_says_that_it_is_here(tmp_path: Path) -> None:
    content = ContentFolder(tmp_path / "content")
    digest = Digest(hashlib.sha256(b"1").hexdigest())
    content.put(digest, [b"1"])
    removing = threading.Thread(target=content.remove, args=(digest, Millis(1 << 50)))
    with (tmp_path / "content" / "removing.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        removing.start()
        removing.join(0.2)
        assert content.has(digest)
    removing.join()
    assert not content.has(digest)


def test_nobody_is_told_of_content_that_a_power_loss_could_take(tmp_path: Path) -> None:
    names = {Digest(hashlib.sha256(data).hexdigest()): data for data in (b"1", b"2")}
    told: list[list[Digest]] = []

    def settle(_folder: Path, _paths: object) -> None:
        told.append(content.missing(names))

    content = ContentFolder(tmp_path / "content", settle)
    content.put_small(names.items())
    assert told == [list(names), list(names)]  # before they have their names, and before these are durable
    assert content.missing(names) == []
    content.put_small(names.items())
    assert told[2:] == [[], []]  # they are there whatever becomes of these


class TestLogFolder(LogContract):
    @pytest.fixture
    def logs(self, tmp_path: Path) -> LogFolder:
        return LogFolder(tmp_path / "logs")


class TestMemoryProvider(ProviderContract):
    @pytest.fixture
    def machines(self) -> MemoryMachines:
        return MemoryMachines()

    @pytest.fixture
    def provider(self, machines: MemoryMachines) -> ComputeProvider:
        return MemoryProvider(machine(), machines)

    @pytest.fixture
    def again(self, machines: MemoryMachines) -> Callable[[], ComputeProvider]:
        return lambda: MemoryProvider(machine(), machines)


class TestLocalProvider(ProviderContract):
    """Real agents under real watchdogs; their server answers nothing, as one that is down."""

    @pytest.fixture(scope="class")
    @classmethod
    def state(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        state = tmp_path_factory.mktemp("local") / "state"
        state.mkdir(mode=0o700)
        (state / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:9"}), encoding="utf-8")
        return state

    @pytest.fixture(scope="class")
    @classmethod
    def again(cls, state: Path) -> Callable[[], ComputeProvider]:
        return lambda: LocalProvider(state, state / "cache")

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls, again: Callable[[], ComputeProvider], state: Path) -> Iterator[ComputeProvider]:
        found = again()
        yield found
        names = [NodeId(path.name) for path in (state / "nodes").iterdir()]
        names.append(NodeId("node_old"))  # whom the other provider saw go
        found.delete(names)
        until(lambda: {one.presence.value for one in found.list(names)} <= {"gone"}, 30)


class TestBlockFolder(BlockContract):
    @pytest.fixture
    def blocks(self, tmp_path: Path) -> BlockFolder:
        return BlockFolder(tmp_path / "blocks")

    @pytest.fixture
    def leftovers(self, tmp_path: Path) -> Callable[[], list[str]]:
        return lambda: [one.name for one in (tmp_path / "blocks").rglob("*") if one.is_file()]
