"""What servers of one PostgreSQL share beside its rows: a folder, turns, and what they tell each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mayfly.drivers.server_folder import ServerFolder
from mayfly.engine.neighbours import Neighbours
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Conflict, Unavailable
from mayfly.kit.ids import WorkspaceId
from mayfly.main.folder import Home
from mayfly.main.state import State, find
from mayfly.services.contacts import Contacts
from mayfly.services.progress import Progress
from mayfly.services.tidings import Tidings
from mayfly.services.wakeups import Wakeups
from mayfly.store import dump, leases, state, workspaces
from mayfly.store.notices import Notices
from mayfly.store.turns import Turns
from mayfly.store.unit import Store
from mayfly.store.workspaces import Workspace
from mayfly.testing.databases import Databases, kinds
from mayfly.testing.nodes import until
from mayfly.testing.world import ManualClock, scene
from mayfly.wire.agent import Fence, PhaseEntered

pytestmark = pytest.mark.skipif("postgresql" not in kinds(), reason="There is no PostgreSQL here.")


@pytest.fixture
def url(databases: Databases, tmp_path: Path) -> Iterator[str]:
    found = databases.fresh("postgresql", tmp_path)
    yield found
    databases.drop(found)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    found = Store(url, lambda _topics: None)
    yield found
    found.close()


def test_the_state_is_known_by_its_id_and_refused_where_it_is_not_seen(store: Store, tmp_path: Path) -> None:
    first, second = Home(tmp_path / "first"), Home(tmp_path / "second")
    assert find(first.path, store) == find(second.path, store) == first.path
    moved = first.path.rename(tmp_path / "moved")
    (tmp_path / "first").mkdir()  # another folder at that path is not it
    with pytest.raises(Conflict) as refused:
        find(second.path, store)
    assert refused.value.code == "StateElsewhere" and str(tmp_path / "first") in refused.value.message
    assert find(moved, store) == find(second.path, store) == moved


def test_the_files_of_a_store_that_was_used_are_not_looked_for_in_an_empty_folder(store: Store, tmp_path: Path) -> None:
    place = Workspace(WorkspaceId("w"), "s", "g", "n", Millis(0))
    store.write(lambda unit: workspaces.create(unit, place, Millis(0)))
    with pytest.raises(Conflict) as refused:
        find(Home(tmp_path / "new").path, store)
    assert refused.value.code == "StateElsewhere"


def test_servers_see_each_other_live_and_die(store: Store, tmp_path: Path) -> None:
    one, other = State(Home(tmp_path / "one"), store), State(Home(tmp_path / "other"), store)
    assert one.secret() == other.secret() and one.servers.others() == []
    other.servers.announce({"url": "http://127.0.0.1:1", "host": "here", "boot_id": ""})
    one.servers.bury(other.servers.me)  # as one may that took it for dead
    assert [peer.id for peer in one.servers.others()] == [other.servers.me]
    assert one.servers.dead() == []
    with pytest.raises(Conflict) as refused:
        ServerFolder(one.path, other.servers.me)
    assert refused.value.code == "ServerRunning"
    with pytest.raises(Conflict) as refused:
        State(Home(tmp_path / "third"), store)  # what was announced says that it is another machine
    assert refused.value.code == "ServersElsewhere"
    other.servers.close()
    assert one.servers.others() == [] and other.servers.me in one.servers.dead()
    for server in one.servers.dead():
        one.servers.bury(server)
    assert one.servers.dead() == []


def test_what_a_dead_server_held_is_free_at_once(url: str, tmp_path: Path) -> None:
    stage = scene(tmp_path, url)
    store, clock = stage.world.store, stage.world.clock
    one, other = (ServerFolder(tmp_path, name) for name in ("one", "other"))
    world = replace(stage.world, peers=one)
    claim = lambda name: store.write(lambda unit: leases.claim(unit, "duty", name, Millis(60_000)))  # noqa: E731
    assert claim("other")
    tidings = Tidings("one", world.wakeups, world.contacts, world.progress, clock)
    neighbours = Neighbours(world, tidings, Notices(url, tidings.hear, lambda: None))
    neighbours.look()
    assert not claim("one"), "it lives"
    other.close()
    neighbours.look()
    assert claim("one")
    store.close()


def test_what_was_restored_does_not_lie_where_it_lay_before(store: Store, tmp_path: Path) -> None:
    find(Home(tmp_path / "first").path, store)
    kept: list[str] = []
    version = dump.lines(store, kept.extend)
    restored = Store(f"sqlite:///{tmp_path / 'restored.db'}", lambda _topics: None)
    dump.take_in(restored, version, lambda: kept, len(kept), 1)
    assert restored.read(state.whereabouts) is None and store.read(state.whereabouts) is not None
    restored.close()


def test_a_turn_is_one_servers(url: str, store: Store) -> None:
    other = Store(url, lambda _topics: None)
    turns, theirs = Turns(store), Turns(other, within_s=0.1)
    with turns.take("feed"):
        with pytest.raises(Unavailable):
            theirs.take("feed").__enter__()
        with theirs.take("another"):
            pass
    with theirs.take("feed"):
        pass
    other.close()


class Member:
    """A server's memory, and its ears."""

    def __init__(self, name: str, url: str) -> None:
        self.wakeups, self.contacts, self.progress = Wakeups(), Contacts(Millis(0)), Progress()
        self.missed = threading.Event()
        self.tidings = Tidings(name, self.wakeups, self.contacts, self.progress, ManualClock())
        self.notices = Notices(url, self.tidings.hear, self.missed.set)
        self.notices.start()
        self.tidings.start(self.notices.tell)

    def close(self) -> None:
        self.tidings.stop()
        self.notices.close()


def test_what_happens_at_one_server_is_known_at_the_other(url: str, store: Store) -> None:
    one, other = Member("one", url), Member("other", url)
    until(lambda: not one.tidings.alone)  # it has heard the other begin
    fence = Fence(job="job", attempt=1, epoch=1)
    topics = [f"job:{number:0100}" for number in range(300)]  # more than one notice holds
    woken = [other.wakeups.on_thread([topic])[0] for topic in topics]
    one.contacts.hear("node", Millis(1))
    one.progress.began("node", PhaseEntered(fence=fence, rank=0, at=0, phase="environment", detail="half"))
    one.wakeups.wake(topics)
    until(lambda: all(event.is_set() for event in woken))
    until(lambda: other.contacts.last("node", Millis(0), Millis(10**15)) > 0)
    assert other.progress.of("job", 1, 1, "environment") == "half"
    one.progress.over(fence, 0)
    until(lambda: other.progress.of("job", 1, 1, "environment") == "")

    other.missed.clear()
    ends = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND pid <> pg_backend_pid()"
    )
    with store.engine.connect() as connection:
        connection.exec_driver_sql(ends)
    assert other.missed.wait(10), "it listens again, and knows that it may have missed something"
    one.close()
    other.close()
