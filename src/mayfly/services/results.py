"""Outputs and metrics of a job."""

from __future__ import annotations

from mayfly.services.jobs import find
from mayfly.services.places import Place
from mayfly.services.views import output_views
from mayfly.services.world import World
from mayfly.store import results
from mayfly.wire import mayfly as wire


def outputs(world: World, place: Place, name: str) -> list[wire.OutputView]:
    row = find(world, place, name)
    return world.store.read(lambda connection: output_views(connection, row))


def metrics(world: World, place: Place, name: str, after: int, most: int, key: str) -> list[wire.MetricView]:
    """Points in the order of arrival; fewer than `most` are the last ones there are now."""
    row = find(world, place, name)
    found = world.store.read(lambda connection: results.metrics_of(connection, row.ran_as, after, most, key))
    return [
        wire.MetricView(key=one.key, value=one.value, step=one.step, timestamp=one.timestamp, sequence=one.sequence)
        for one in found
    ]
