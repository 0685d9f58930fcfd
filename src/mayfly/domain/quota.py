"""The quota ledger's rules: which rows a placement holds, what a row's limit is by default, what a request needs.

vCPUs throughout. Standard work is counted in three rows, always taken in this order: the family in the subscription, the
total of the subscription, the family in the workspace. Spot work is counted in one row across all families (semantics §7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mayfly.domain import catalogue
from mayfly.domain.compute import Fleet, InstanceType, LedgerKey, Quota, ResourceRequest, Target, Tier

TOTAL = "*"
CPU_FAMILY_LIMIT = 24
"""Azure's smallest default of dedicated cores for a family (semantics §7)."""
SUBSCRIPTION_LIMIT = 1000
"""Total of all families: so wide that families bind first; an owner lowers it to cap everything."""
SPOT_LIMIT = 100
"""Azure's smallest default of low-priority cores (semantics §7)."""


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Whose quota is meant."""

    subscription: str
    workspace: str


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One row of the ledger beside what a request would add to it."""

    key: LedgerKey
    limit: int
    held: int
    needed: int

    @property
    def fits_limit(self) -> bool:
        return self.needed <= self.limit

    @property
    def fits_now(self) -> bool:
        return self.held + self.needed <= self.limit


def subscription_scope(subscription: str) -> str:
    return f"subscription:{subscription}"


def workspace_scope(workspace: str) -> str:
    return f"workspace:{workspace}"


def ledger_keys(subscription: str, workspace: str, family: str, tier: Tier) -> tuple[LedgerKey, ...]:
    """The rows that a placement is counted in, in the order in which they must be taken."""
    whole = subscription_scope(subscription)
    if tier is Tier.SPOT:
        return (LedgerKey(whole, TOTAL, tier),)
    return (
        LedgerKey(whole, family, tier),
        LedgerKey(whole, TOTAL, tier),
        LedgerKey(workspace_scope(workspace), family, tier),
    )


def default_limit(key: LedgerKey, fleet: Fleet) -> int | None:
    """The limit of a row that nobody has set; None: no limit of its own (a workspace shares its subscription's).

    CPU families 24; GPU families what the fleet's GPUs can fill, so 0 without GPUs; `local` the machine's cores; the
    total of a subscription 1000 and of Spot 100, or the fleet's cores where those are more.
    """
    if not key.scope.startswith("subscription:"):
        return None
    if key.family == TOTAL:
        return max(SPOT_LIMIT if key.tier is Tier.SPOT else SUBSCRIPTION_LIMIT, fleet.total.cores)
    if key.family == catalogue.LOCAL_FAMILY:
        return fleet.total.cores
    if catalogue.is_gpu_family(key.family):
        present = len(fleet.total.gpus)
        return max((present // s.gpus * s.vcpus for s in catalogue.of_family(key.family)), default=0)
    return CPU_FAMILY_LIMIT


def quota_of(key: LedgerKey, quotas: Mapping[LedgerKey, Quota], fleet: Fleet) -> Quota | None:
    """The row as kept, else with its default limit and nothing held; None where nothing limits."""
    if (kept := quotas.get(key)) is not None:
        return kept
    limit = default_limit(key, fleet)
    return None if limit is None else Quota(limit)


def ledger_lines(
    request: ResourceRequest, owner: Owner, size: InstanceType, quotas: Mapping[LedgerKey, Quota], fleet: Fleet
) -> tuple[LedgerLine, ...]:
    """The rows that limit this request on this size, with limit, held and needed; none for `compute: local`."""
    if request.target is Target.LOCAL:
        return ()
    needed = size.vcpus * request.node_count
    lines = []
    for key in ledger_keys(owner.subscription, owner.workspace, size.family, request.tier):
        if (quota := quota_of(key, quotas, fleet)) is not None:
            lines.append(LedgerLine(key, quota.limit, quota.held, needed))
    return tuple(lines)


def needed_rows(request: ResourceRequest, owner: Owner, size: InstanceType) -> Mapping[LedgerKey, int]:
    """vCPUs to add to each row, in order, those without a limit included: held is counted everywhere."""
    if request.target is Target.LOCAL:
        return {}
    needed = size.vcpus * request.node_count
    keys = ledger_keys(owner.subscription, owner.workspace, size.family, request.tier)
    return dict.fromkeys(keys, needed)


def largest_count(lines: tuple[LedgerLine, ...], size: InstanceType) -> int | None:
    """⌊quota / cores⌋ of the tightest row; None when nothing limits."""
    return min((line.limit // size.vcpus for line in lines), default=None)


def add(quotas: Mapping[LedgerKey, Quota], rows: Mapping[LedgerKey, int]) -> dict[LedgerKey, Quota] | None:
    """The ledger with `rows` held as well, or None when one of them would pass its limit: all or nothing. A row that is
    not kept has no limit."""
    after = dict(quotas)
    for key, vcpus in rows.items():
        if (quota := after.get(key)) is None:
            continue
        if quota.held + vcpus > quota.limit:
            return None
        after[key] = Quota(quota.limit, quota.held + vcpus)
    return after


def remove(quotas: Mapping[LedgerKey, Quota], rows: Mapping[LedgerKey, int]) -> dict[LedgerKey, Quota]:
    """The ledger without `rows`: the inverse of `add`."""
    after = dict(quotas)
    for key, vcpus in rows.items():
        if (quota := after.get(key)) is not None:
            after[key] = Quota(quota.limit, max(0, quota.held - vcpus))
    return after


def raise_command(key: LedgerKey, limit: int) -> str:
    """The exact command that sets a row's limit."""
    family = f"'{TOTAL}'" if key.family == TOTAL else key.family
    tier = " --tier Spot" if key.tier is Tier.SPOT else ""
    scope = " --scope workspace" if key.scope.startswith("workspace:") else ""
    return f"mayfly quota update --family {family} --limit {limit}{tier}{scope}"


def row_name(key: LedgerKey) -> str:
    """A row in words: 'standardDSv2Family vCPU quota of the subscription'."""
    where = "workspace" if key.scope.startswith("workspace:") else "subscription"
    if key.tier is Tier.SPOT:
        return f"Spot vCPU quota of the {where}"
    return f"total vCPU quota of the {where}" if key.family == TOTAL else f"{key.family} vCPU quota of the {where}"
