"""Shapes of the doors to datastores and lineage, below the workspace's WS (see `wire.mayfly`).

GET    WS/datastores                       list of DatastoreView, Mayfly's own first
POST   WS/datastores                       DatastoreNew -> DatastoreView; one of that name is given this definition
GET    WS/datastores/{name}                DatastoreView
DELETE WS/datastores/{name}                {}
GET    WS/jobs/{name}/lineage              list of LinkView
GET    WS/assets/{kind}/{name}/lineage?version   list of LinkView: the jobs that read or wrote it, newest first
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mayfly.wire.mayfly import Shape


class DatastoreNew(Shape):
    definition: dict[str, Any] = Field(repr=False)
    """As Azure's YAML has it, credentials included."""


class DatastoreView(Shape):
    name: str
    type: str
    address: str
    is_default: bool = False
    own: bool = False
    """Mayfly's: what lies in it is kept in the content store."""
    has_credentials: bool = False
    created_at: int | None = None
    definition: dict[str, Any] = Field(default_factory=dict)
    """Without credentials."""


class LinkView(Shape):
    job: str
    direction: str
    """input or output, as the job sees it."""
    name: str
    reference: str
    kind: str | None = None
    asset: str | None = None
    version: str | None = None
    tree: str | None = None
