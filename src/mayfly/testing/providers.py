"""What every compute provider must do, as a class to inherit; and one in memory that does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mayfly.domain.compute import Amount, Fleet
from mayfly.kit.errors import Refused
from mayfly.kit.ids import GroupId, NodeId
from mayfly.ports.compute import ComputeProvider, GroupWish, NodeWish, Presence, Sighting
from mayfly.testing.nodes import until


@dataclass
class MemoryMachines:
    """The world outside: it stays when a provider's process ends."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    present: dict[NodeId, Presence] = field(default_factory=dict)
    wishes: dict[NodeId, NodeWish] = field(default_factory=dict)
    created: list[NodeId] = field(default_factory=list)
    """Each time one was really started, in order."""


class MemoryProvider:
    """Implements `ports.compute.ComputeProvider` without machines: `created` nodes are ready at once, a test lets them
    go down or away, or refuses the next group."""

    def __init__(self, fleet: Fleet, machines: MemoryMachines) -> None:
        self.machines = machines
        self.refuses = ""
        self.keeps_deleted = False
        """Whether a deleted node takes its time to go."""
        self._fleet = fleet

    def fleet(self) -> Fleet:
        return self._fleet

    def create(self, group: GroupWish) -> None:
        if self.refuses:
            raise Refused("NoMachines", self.refuses)
        with self.machines.lock:
            for wish in group.nodes:
                if self.machines.present.get(wish.node) in (None, Presence.DOWN):
                    self.machines.present[wish.node] = Presence.READY
                    self.machines.wishes[wish.node] = wish
                    self.machines.created.append(wish.node)

    def delete(self, nodes: Sequence[NodeId]) -> None:
        with self.machines.lock:
            for node in nodes:
                if not self.keeps_deleted:
                    self.machines.present.pop(node, None)

    def list(self, nodes: Sequence[NodeId]) -> Sequence[Sighting]:
        with self.machines.lock:
            return [Sighting(node, self.machines.present.get(node, Presence.GONE)) for node in nodes]

    def go_down(self, node: str) -> None:
        """Its processes die, its disk stays."""
        self.machines.present[NodeId(node)] = Presence.DOWN

    def vanish(self, node: str) -> None:
        self.machines.present.pop(NodeId(node), None)


class ProviderContract:
    """Inherit it and give fixtures: `provider`; `again`, which makes another provider over the same machines, as after
    a restart of the server."""

    patience_s = 20.0

    def wish(self, name: str) -> NodeWish:
        return NodeWish(NodeId(f"node_{name}"), f"token-of-{name}", "local_1", Amount(1, 256))

    def group(self, *names: str) -> GroupWish:
        return GroupWish(GroupId(f"group_{names[0]}"), tuple(self.wish(name) for name in names))

    def presence(self, provider: ComputeProvider, *names: str) -> list[Presence]:
        return [one.presence for one in provider.list([self.wish(name).node for name in names])]

    def comes(self, provider: ComputeProvider, wanted: Presence, *names: str) -> None:
        until(lambda: set(self.presence(provider, *names)) == {wanted}, self.patience_s)

    def test_the_fleet_can_give_what_it_offers(self, provider: ComputeProvider) -> None:
        fleet = provider.fleet()
        assert 0 < len(fleet.provider) <= 32
        assert fleet.total.cores >= 1 and fleet.total.memory_mib > 0 and fleet.max_nodes >= 1
        assert [size.vcpus for size in fleet.own_sizes] == sorted(size.vcpus for size in fleet.own_sizes)
        for size in fleet.own_sizes:
            assert size.vcpus <= fleet.total.cores
            assert size.memory_gib * 1024 <= fleet.total.memory_mib + 1
            assert size.gpus <= len(fleet.total.gpus)

    def test_it_tells_of_every_node_it_is_asked_about_in_order(self, provider: ComputeProvider) -> None:
        provider.create(self.group("known"))
        asked = [self.wish(name).node for name in ("stranger", "known", "other")]
        told = provider.list(asked)
        assert [one.node for one in told] == asked
        assert told[0].presence is Presence.GONE and told[2].presence is Presence.GONE
        assert told[1].presence in (Presence.PENDING, Presence.READY)
        assert list(provider.list([])) == []

    def test_a_created_group_becomes_ready_whole(self, provider: ComputeProvider) -> None:
        provider.create(self.group("one", "two"))
        assert Presence.GONE not in self.presence(provider, "one", "two")
        self.comes(provider, Presence.READY, "one", "two")

    def test_creating_again_changes_nothing(self, provider: ComputeProvider) -> None:
        provider.create(self.group("twice"))
        provider.create(self.group("twice"))
        self.comes(provider, Presence.READY, "twice")
        provider.create(self.group("twice"))
        assert self.presence(provider, "twice") == [Presence.READY]
        provider.delete([self.wish("twice").node])
        self.comes(provider, Presence.GONE, "twice")

    def test_creating_again_completes_a_group(self, provider: ComputeProvider) -> None:
        provider.create(GroupWish(GroupId("group_first"), (self.wish("first"),)))
        provider.create(self.group("first", "second"))
        self.comes(provider, Presence.READY, "first", "second")

    def test_a_deleted_node_goes_and_only_that_one(self, provider: ComputeProvider) -> None:
        provider.create(self.group("goes", "stays"))
        self.comes(provider, Presence.READY, "goes", "stays")
        provider.delete([self.wish("goes").node])
        self.comes(provider, Presence.GONE, "goes")
        assert self.presence(provider, "stays") == [Presence.READY]

    def test_deleting_may_be_repeated_and_name_strangers(self, provider: ComputeProvider) -> None:
        provider.create(self.group("once"))
        self.comes(provider, Presence.READY, "once")
        for _ in range(3):
            provider.delete([self.wish("stranger").node, self.wish("once").node])
        self.comes(provider, Presence.GONE, "once")
        provider.delete([self.wish("once").node])
        assert self.presence(provider, "once", "stranger") == [Presence.GONE, Presence.GONE]

    def test_it_knows_its_nodes_after_a_restart(
        self, provider: ComputeProvider, again: Callable[[], ComputeProvider]
    ) -> None:
        provider.create(self.group("old"))
        self.comes(provider, Presence.READY, "old")
        second = again()
        assert self.presence(second, "old") == [Presence.READY]
        second.create(self.group("old"))
        assert self.presence(second, "old") == [Presence.READY]
        second.delete([self.wish("old").node])
        self.comes(second, Presence.GONE, "old")
