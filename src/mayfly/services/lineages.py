"""Lineage, both ways: what a job read and wrote, and which jobs read or wrote an asset."""

from __future__ import annotations

from mayfly.domain.references import AssetKind
from mayfly.services import assets, jobs, places
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store import lineage
from mayfly.store.lineage import Link
from mayfly.wire import data as wire


def of_job(world: World, place: Place, name: str) -> list[wire.LinkView]:
    row = jobs.find(world, place, name)
    return [_view(link) for link in world.store.read(lambda connection: lineage.of_job(connection, row.job.id))]


def of_asset(world: World, place: Place, kind: AssetKind, name: str, version: str | None) -> list[wire.LinkView]:
    """Of one version, or of all. Raises NotFound as `assets.find`."""
    workspace = places.find(world, place)
    if version is not None:
        assets.find(world, place, kind, name, version=version)
    else:
        assets.version_page(world, place, kind, name, 1, None, "all")
    found = world.store.read(lambda connection: lineage.of_asset(connection, workspace.id, kind.value, name, version))
    return [_view(link) for link in found]


def _view(link: Link) -> wire.LinkView:
    return wire.LinkView(
        job=link.job,
        direction=link.direction,
        name=link.name,
        reference=link.reference,
        kind=link.kind,
        asset=link.asset,
        version=link.version,
        tree=link.tree,
    )
