"""Workspaces: the rows behind the names of subscriptions, resource groups and workspaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from mayfly.kit.clock import Millis
from mayfly.kit.ids import WorkspaceId
from mayfly.store import dialect
from mayfly.store.statements import Statement
from mayfly.store.tables import asset_names, jobs, workspaces
from mayfly.store.unit import Unit

_GET = Statement(select(workspaces).where(workspaces.c.id == bindparam("one")))


@dataclass(frozen=True, slots=True)
class Workspace:
    id: WorkspaceId
    subscription: str
    resource_group: str
    name: str
    created_at: int = 0


def find(connection: Connection, subscription: str, group: str, name: str) -> Workspace | None:
    row = connection.execute(
        select(workspaces).where(
            workspaces.c.subscription == subscription, workspaces.c.resource_group == group, workspaces.c.name == name
        )
    ).one_or_none()
    return None if row is None else _workspace(row)


def get(connection: Connection, workspace: WorkspaceId) -> Workspace:
    row = _GET.one(connection, {"one": workspace})
    assert row is not None
    return _workspace(row)


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
    return [_workspace(row) for row in rows]


def count_jobs(connection: Connection, workspace: WorkspaceId) -> dict[str, int]:
    """State → how many."""
    query = select(jobs.c.state, func.count()).where(jobs.c.workspace == workspace).group_by(jobs.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def count_assets(connection: Connection, workspace: WorkspaceId) -> dict[str, int]:
    """Kind → how many names."""
    of = asset_names.c
    query = select(of.kind, func.count()).where(of.workspace == workspace).group_by(of.kind)
    return {row[0]: row[1] for row in connection.execute(query)}


def _workspace(row: Row[Any]) -> Workspace:
    return Workspace(WorkspaceId(row.id), row.subscription, row.resource_group, row.name, row.created_at)
