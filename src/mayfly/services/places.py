"""Subscription, resource group and workspace: names on the wire, one id in the rows."""

from __future__ import annotations

from dataclasses import dataclass

from mayfly.kit.errors import Invalid, NotFound, nearest
from mayfly.kit.ids import WorkspaceId
from mayfly.services.mlflow import FIRST
from mayfly.services.world import World
from mayfly.store import workspaces
from mayfly.store.workspaces import Workspace
from mayfly.wire import mayfly as wire

DEFAULT = ("local", "local", "default")


@dataclass(frozen=True, slots=True)
class Place:
    subscription: str
    resource_group: str
    workspace: str

    def __str__(self) -> str:
        return f"{self.subscription}/{self.resource_group}/{self.workspace}"


def tracking_name(workspace: Workspace) -> str:
    """The MLflow workspace behind ours: an experiment or a model of the same name in two workspaces is two things."""
    if (workspace.subscription, workspace.resource_group, workspace.name) == DEFAULT:
        return FIRST
    return "w-" + workspace.id.rpartition("_")[2].lower()


def find(world: World, place: Place) -> Workspace:
    """For reading. Raises NotFound `WorkspaceNotFound` with near names; the default one always exists. Invalid
    `WorkspaceNameInvalid` for what no workspace can be named."""
    found = _known(world, place)
    if found is not None:
        return found
    if (place.subscription, place.resource_group, place.workspace) == DEFAULT:
        return create(world, place)[0]
    known = world.store.read(workspaces.names)
    texts = [f"{one.subscription}/{one.resource_group}/{one.name}" for one in known]
    near = nearest(str(place), texts)
    raise NotFound(
        "WorkspaceNotFound",
        f"There is no workspace {place} here.",
        remedy=f"Did you mean {near}?" if near else "Make it: mayfly workspace create, with -w, -g and --subscription.",
    )


def create(world: World, place: Place) -> tuple[Workspace, str | None]:
    """For writing: on an embedded server an unknown one is made, and the second value says so."""
    found = _known(world, place)
    if found is not None:
        return found, None
    if not world.embedded:
        return find(world, place), None
    wanted = Workspace(WorkspaceId(world.ids.new("ws")), place.subscription, place.resource_group, place.workspace)
    now = world.clock.now()
    made = world.store.write(lambda unit: workspaces.create(unit, wanted, now))
    default = (place.subscription, place.resource_group, place.workspace) == DEFAULT
    return made, None if default else f"The workspace {place} is new; it was made for this job."


def make(world: World, place: Place) -> wire.WorkspaceView:
    """The workspace of these names, made when it is not there."""
    _check(place)
    wanted = Workspace(WorkspaceId(world.ids.new("ws")), place.subscription, place.resource_group, place.workspace)
    now = world.clock.now()
    return view(world, world.store.write(lambda unit: workspaces.create(unit, wanted, now)))


def every(world: World) -> list[wire.WorkspaceView]:
    """Oldest first."""
    return [view(world, one) for one in world.store.read(workspaces.names)]


def view(world: World, workspace: Workspace) -> wire.WorkspaceView:
    return world.store.read(
        lambda connection: wire.WorkspaceView(
            subscription=workspace.subscription,
            resource_group=workspace.resource_group,
            name=workspace.name,
            id=workspace.id,
            created_at=workspace.created_at,
            jobs=workspaces.count_jobs(connection, workspace.id),
            assets=workspaces.count_assets(connection, workspace.id),
        )
    )


def _known(world: World, place: Place) -> Workspace | None:
    """A workspace is for ever what it was when it was made, so it is read once."""
    names = (place.subscription, place.resource_group, place.workspace)
    if names not in world.workspaces:
        _check(place)
        found = world.store.read(lambda connection: workspaces.find(connection, *names))
        if found is None:
            return None
        world.workspaces[names] = found
    return world.workspaces[names]


def _check(place: Place) -> None:
    for name in (place.subscription, place.resource_group, place.workspace):
        if not name or len(name) > 200 or any(ord(letter) < 33 or letter in "/\\" for letter in name):
            raise Invalid("WorkspaceNameInvalid", f"{name!r} cannot be a name of a subscription, group or workspace.")
