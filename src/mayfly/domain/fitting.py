"""What a size takes of a fleet, and whether the fleet could ever give it."""

from __future__ import annotations

from mayfly.domain.compute import Amount, Fleet, InstanceType


def disk_of(size: InstanceType, node_count: int, fleet: Fleet) -> float:
    """GiB of disk that each node of a gang would have: an own size its share; a named one an equal share of what the
    fleet has, and no more than the size declares (sizes that declare none use the disk they boot from)."""
    if is_own(size, fleet):
        return size.disk_gib
    share = fleet.disk_gib / node_count
    return min(share, size.disk_gib) if size.disk_gib > 0 else share


def amount_of(size: InstanceType) -> Amount:
    """Cores and memory of one node at its declared size."""
    return Amount(size.vcpus, round(size.memory_gib * 1024))


def is_emulated(size: InstanceType, node_count: int, fleet: Fleet) -> bool:
    """Whether the gang, at its declared size, is more than the whole fleet: then it runs on what there is."""
    return not is_own(size, fleet) and fleet.emulates and _most(size, fleet) < node_count


def largest_possible(size: InstanceType, fleet: Fleet) -> int:
    """The largest gang of this size that the fleet could ever give, emulated where the fleet does that; 0: none."""
    if is_own(size, fleet):
        return min(_most(size, fleet), fleet.max_nodes)
    return fleet.max_nodes if fleet.emulates else 0


def is_own(size: InstanceType, fleet: Fleet) -> bool:
    return any(size.name == own.name for own in fleet.own_sizes)


def _most(size: InstanceType, fleet: Fleet) -> int:
    one, total = amount_of(size), fleet.total
    most = min(total.cores // one.cores, total.memory_mib // max(1, one.memory_mib))
    return min(most, len(total.gpus) // size.gpus) if size.gpus else most
