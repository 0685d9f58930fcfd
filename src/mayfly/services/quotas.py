"""Quota and sizes for people: limits, what is held, and changing a limit."""

from __future__ import annotations

from collections.abc import Mapping

from mayfly.domain import catalogue
from mayfly.domain.compute import LedgerKey, Quota, ResourceRequest, Tier
from mayfly.domain.placement import Room, judge
from mayfly.domain.queue import Snapshot
from mayfly.domain.quota import TOTAL, Owner, default_limit, ledger_keys, subscription_scope, workspace_scope
from mayfly.services import places
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store import ledgers, waiting
from mayfly.store.unit import Unit
from mayfly.store.workspaces import Workspace
from mayfly.wire import mayfly as wire


def snapshot(world: World) -> Snapshot:
    return world.store.read(lambda c: waiting.snapshot(c, world.fleet, dict(world.sizes)))


def sizes(world: World, place: Place) -> list[wire.SizeView]:
    """Own sizes first, then the catalogue by family."""
    workspace = places.find(world, place)
    room = Room.of(snapshot(world))
    owner = Owner(workspace.subscription, workspace.id)
    views = []
    for size in sorted(world.sizes.values(), key=lambda s: (not s.own, s.retired, s.family, s.vcpus, s.name)):
        verdict = judge(ResourceRequest(instance_type=size.name), owner, size, room)
        standard, spot = size.prices.get(Tier.STANDARD), size.prices.get(Tier.SPOT)
        price = standard or spot
        note = "costs nothing here; the nearest size's list price beside it" if size.own else ""
        views.append(
            wire.SizeView(
                name=size.name,
                family=size.family,
                vcpus=size.vcpus,
                memory_gib=size.memory_gib,
                disk_gib=size.disk_gib,
                gpus=size.gpus,
                gpu_model=size.gpu_model,
                standard_usd_per_hour=standard.usd_per_hour if standard else None,
                spot_usd_per_hour=spot.usd_per_hour if spot else None,
                price_source=f"{price.source}, {price.as_of}" if price else "unknown",
                own=size.own,
                retired=size.retired,
                available=not verdict.permanent,
                note=verdict.reason or note if verdict.permanent else note,
            )
        )
    return views


def quotas(world: World, place: Place) -> list[wire.QuotaView]:
    """Every row that limits this workspace, kept or by default."""
    workspace = places.find(world, place)
    kept, mine = _kept(world, workspace)
    views = []
    for key in _keys(world, workspace, kept):
        quota = kept.get(key) or _default(world, key)
        if quota is not None:
            views.append(
                wire.QuotaView(
                    scope=_scope(key),
                    family=key.family,
                    tier=key.tier.value,
                    limit=quota.limit,
                    held=quota.held,
                    default=key not in mine,
                )
            )
    return views


def update(world: World, place: Place, ask: wire.QuotaUpdate) -> list[wire.QuotaView]:
    """Set one limit; durable when it returns, and the queue is looked at again. Raises Invalid `FamilyUnknown`."""
    workspace = places.create(world, place)[0]
    tier = Tier(ask.tier)
    family = TOTAL if ask.family == TOTAL or tier is Tier.SPOT else catalogue.find_family(ask.family)
    scope = subscription_scope(workspace.subscription) if ask.scope == "subscription" else workspace_scope(workspace.id)
    key = LedgerKey(scope, family, tier)

    def keep(unit: Unit) -> None:
        ledgers.set_limit(unit, key, ask.limit)
        unit.wake("scheduling")

    world.store.write(keep)
    return quotas(world, place)


def refresh_defaults(world: World) -> None:
    """At a server's start: the machine may have other cores or GPUs than when a limit that nobody set was written."""

    def refresh(unit: Unit) -> None:
        for key, kept in ledgers.kept_defaults(unit.connection).items():
            limit = default_limit(key, world.fleet)
            if limit is not None and limit != kept:
                ledgers.refresh_default(unit, key, limit)

    world.store.write(refresh)


def usage(world: World, place: Place) -> list[wire.UsageView]:
    """What serverless holds now, by family (semantics §7: under the name Serverless)."""
    workspace = places.find(world, place)
    kept, _ = _kept(world, workspace)
    views = []
    for key in _keys(world, workspace, kept):
        if not key.scope.startswith("subscription:"):
            continue
        quota = kept.get(key) or _default(world, key)
        if quota is not None and (quota.held or key.family in ("local", TOTAL)):
            jobs = world.store.read(lambda c, key=key: ledgers.holders(c, key))
            views.append(
                wire.UsageView(
                    name="Serverless",
                    family=key.family,
                    tier=key.tier.value,
                    held=quota.held,
                    limit=quota.limit,
                    jobs=jobs,
                )
            )
    return views


def _kept(world: World, workspace: Workspace) -> tuple[Mapping[LedgerKey, Quota], set[LedgerKey]]:
    scopes = [subscription_scope(workspace.subscription), workspace_scope(workspace.id)]
    return world.store.read(lambda c: (ledgers.quotas(c, scopes), ledgers.set_by_user(c)))


def _keys(world: World, workspace: Workspace, kept: Mapping[LedgerKey, Quota]) -> list[LedgerKey]:
    families = dict.fromkeys(["local", *(size.family for size in world.sizes.values())])
    keys = dict.fromkeys(
        key
        for tier in Tier
        for family in families
        for key in ledger_keys(workspace.subscription, workspace.id, family, tier)
    )
    return sorted({*keys, *kept}, key=lambda key: (key.scope.startswith("workspace"), key.tier, key.family))


def _default(world: World, key: LedgerKey) -> Quota | None:
    limit = default_limit(key, world.fleet)
    return None if limit is None else Quota(limit)


def _scope(key: LedgerKey) -> str:
    return key.scope.split(":", 1)[0]
