"""What Azure's doors were told of a thing, verbatim: beside our own rows, or (schedules, computes, jobs of types that do not
run yet) all there is of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection

from mayfly.kit.errors import Conflict, NotFound, nearest
from mayfly.services import places
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store import azure_bodies, jobs
from mayfly.store.azure_bodies import BodyRow
from mayfly.store.jobs import JobRow
from mayfly.store.unit import Unit


def keep(
    world: World,
    who: str,
    place: Place,
    collection: str,
    name: str,
    body: Mapping[str, Any],
    version: str = "",
    *,
    deleted: bool = False,
) -> BodyRow:
    """Durable when it returns; the workspace is there from now on."""
    workspace = places.create(world, place)[0]
    row = BodyRow(workspace.id, collection, name, version, body, who, world.clock.now(), deleted)
    world.store.write(lambda unit: azure_bodies.put(unit, row))
    return find(world, place, collection, name, version) or row


def of_job(row: JobRow, body: Mapping[str, Any]) -> BodyRow:
    """What was told of a job that runs, when it was new."""
    return BodyRow(row.workspace, "jobs", row.name, "", body, row.submitter, row.job.created_at)


def keep_with(unit: Unit, row: JobRow, body: Mapping[str, Any]) -> None:
    """In the unit that keeps the job. Raises Conflict `JobNameTaken`, by one that does not run."""
    if not azure_bodies.add(unit, of_job(row, body)):
        raise name_taken(row.name)


def keep_job(world: World, who: str, place: Place, name: str, body: Mapping[str, Any]) -> BodyRow:
    """A job of a type that does not run yet. Raises Conflict `JobNameTaken`, by one that runs or by another type."""
    workspace = places.create(world, place)[0]
    row = BodyRow(workspace.id, "jobs", name, "", body, who, world.clock.now())

    def put(unit: Unit) -> None:
        there = azure_bodies.find(unit.connection, workspace.id, "jobs", name)
        other = there is not None and (there.deleted or job_type(there.body) != job_type(body))
        if other or jobs.by_name(unit.connection, workspace.id, name) is not None:
            raise name_taken(name)
        azure_bodies.put(unit, row)

    world.store.write(put)
    return find(world, place, "jobs", name) or row


def name_taken(name: str) -> Conflict:
    return Conflict(
        "JobNameTaken",
        f"A job named '{name}' exists with another definition. Names of jobs are never reused.",
        remedy="Choose another name, or leave 'name' out and get a fresh one.",
    )


def find(world: World, place: Place, collection: str, name: str, version: str = "") -> BodyRow | None:
    """None for what was never told here, a workspace that is not there included."""
    try:
        workspace = places.find(world, place)
    except NotFound:
        return None
    return world.store.read(lambda connection: azure_bodies.find(connection, workspace.id, collection, name, version))


def get(world: World, place: Place, collection: str, name: str) -> BodyRow:
    """Raises NotFound with a near name."""
    found = find(world, place, collection, name)
    if found is not None and not found.deleted:
        return found
    near = nearest(name, [one.name for one in listing(world, place, collection)])
    word = collection.removesuffix("s")
    raise NotFound(
        "ResourceNotFound",
        f"There is no {word} '{name}' in workspace {place}.",
        remedy=f"Did you mean '{near}'?" if near else None,
    )


def listing(world: World, place: Place, collection: str) -> list[BodyRow]:
    """By name; none in a workspace that is not there."""
    try:
        workspace = places.find(world, place)
    except NotFound:
        return []

    def look(connection: Connection) -> list[BodyRow]:
        return azure_bodies.listing(connection, workspace.id, collection)

    return world.store.read(look)


def named(world: World, place: Place, collection: str, names: Collection[str]) -> dict[str, BodyRow]:
    """Those of these names, deleted or not."""
    workspace = places.find(world, place).id
    return world.store.read(lambda connection: azure_bodies.named(connection, workspace, collection, names))


def unrun(world: World, place: Place, after: str, most: int) -> list[BodyRow]:
    """Jobs of types that do not run yet, by name, after `after`."""
    workspace = places.find(world, place).id
    return world.store.read(lambda connection: azure_bodies.without_job(connection, workspace, after, most))


def remove(world: World, place: Place, collection: str, name: str) -> bool:
    """False when it was not there."""
    workspace = places.find(world, place)
    return world.store.write(lambda unit: azure_bodies.remove(unit, workspace.id, collection, name))


def job_type(body: Mapping[str, Any]) -> str:
    """In lower case, '' where none is said."""
    return str(body.get("properties", {}).get("jobType", "")).lower()
