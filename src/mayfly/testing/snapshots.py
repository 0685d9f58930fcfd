"""Builders of what the scheduler looks at: a machine, classes of waiting jobs, a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mayfly.domain.catalogue import CATALOGUE, own_sizes
from mayfly.domain.compute import Amount, Fleet, InstanceType, LedgerKey, Quota, ResourceRequest, Tier
from mayfly.domain.queue import ClassKey, Head, JobClass, Snapshot
from mayfly.domain.quota import TOTAL, Owner, default_limit, ledger_keys
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId, NodeId, WorkspaceId

OWNER = Owner("sub", "ws")


def machine(
    cores: int = 4,
    memory_mib: int | None = None,
    disk_gib: float = 200.0,
    gpus: Sequence[str] = (),
    emulates: bool = True,
    max_nodes: int = 64,
) -> Fleet:
    """A fleet of one machine; 4 GiB for each core unless told."""
    memory = cores * 4096 if memory_mib is None else memory_mib
    return Fleet(
        provider="local",
        total=Amount(cores, memory, frozenset(gpus)),
        own_sizes=own_sizes(cores, memory, disk_gib, len(gpus)),
        disk_gib=disk_gib,
        emulates=emulates,
        max_nodes=max_nodes,
    )


def family_key(family: str, tier: Tier = Tier.STANDARD, owner: Owner = OWNER) -> LedgerKey:
    """The subscription's row of a family."""
    return ledger_keys(owner.subscription, owner.workspace, family, tier)[0]


def standard_rows(fleet: Fleet, families: Sequence[str], owner: Owner = OWNER) -> dict[LedgerKey, Quota]:
    """Rows with their default limits and nothing held."""
    keys = [family_key(family, tier, owner) for family in (*families, TOTAL) for tier in Tier]
    return {key: Quota(default_limit(key, fleet) or 0) for key in keys}


def waiting_class(
    request: ResourceRequest,
    sequences: Sequence[int],
    submitter: str = "ann",
    priority: int = 2,
    queued_at: int = 0,
    waiting: int | None = None,
    owner: Owner = OWNER,
) -> JobClass:
    """A class whose heads are the jobs `job-<sequence>`."""
    key = ClassKey(WorkspaceId(owner.workspace), owner.subscription, submitter, priority, repr(request))
    heads = tuple(Head(JobId(f"job-{n}"), n, Millis(queued_at)) for n in sequences)
    return JobClass(key, request, len(heads) if waiting is None else waiting, heads)


def snapshot(
    fleet: Fleet | None = None,
    classes: Sequence[JobClass] = (),
    quotas: Mapping[LedgerKey, Quota] | None = None,
    held: Amount | None = None,
    warm: Mapping[str, tuple[NodeId, ...]] | None = None,
    recent: Mapping[str, float] | None = None,
    catalogue: Mapping[str, InstanceType] = CATALOGUE,
) -> Snapshot:
    """Rows that are not given have their default limits."""
    return Snapshot(
        fleet=fleet or machine(),
        catalogue=catalogue,
        classes=tuple(classes),
        quotas=dict(quotas or {}),
        capacity_held=held or Amount(),
        warm=dict(warm or {}),
        recent=dict(recent or {}),
    )
