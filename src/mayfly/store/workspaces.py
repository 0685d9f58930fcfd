"""Workspaces: the rows behind the names of subscriptions, resource groups and workspaces."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from mayfly.kit.clock import Millis
from mayfly.kit.ids import WorkspaceId
from mayfly.store import dialect
from mayfly.store.tables import workspaces
from mayfly.store.unit import Unit


@dataclass(frozen=True, slots=True)
class Workspace:
    id: WorkspaceId
    subscription: str
    resource_group: str
    name: str


def find(connection: Connection, subscription: str, group: str, name: str) -> Workspace | None:
    row = connection.execute(
        select(workspaces).where(
            workspaces.c.subscription == subscription, workspaces.c.resource_group == group, workspaces.c.name == name
        )
    ).one_or_none()
    return None if row is None else Workspace(WorkspaceId(row.id), row.subscription, row.resource_group, row.name)


def get(connection: Connection, workspace: WorkspaceId) -> Workspace:
    row = connection.execute(select(workspaces).where(workspaces.c.id == workspace)).one()
    return Workspace(WorkspaceId(row.id), row.subscription, row.resource_group, row.name)


def create(unit: Unit, workspace: Workspace, now: Millis) -> Workspace:
    """The workspace of these names: the one that exists, else this one."""
    dialect.insert_or_leave(
        unit.connection,
        workspaces,
        [
            {
                "id": workspace.id,
                "subscription": workspace.subscription,
                "resource_group": workspace.resource_group,
                "name": workspace.name,
                "created_at": now,
            }
        ],
    )
    found = find(unit.connection, workspace.subscription, workspace.resource_group, workspace.name)
    if found is None:
        raise AssertionError("a workspace that was just made is not there")
    return found


def names(connection: Connection) -> list[Workspace]:
    rows = connection.execute(select(workspaces).order_by(workspaces.c.created_at))
    return [Workspace(WorkspaceId(row.id), row.subscription, row.resource_group, row.name) for row in rows]
