"""Shapes of the doors to assets, below the workspace's WS (see `wire.mayfly`). `kind`: data, model, environment,
component.

  GET  WS/assets/{kind}?limit&after&which                           AssetPage: the newest version of each name, by name
  POST WS/assets/{kind}                                             AssetNew -> AssetView (201; 200 when it was there)
  GET  WS/assets/{kind}/{name}?limit&after&which                    AssetPage: its versions, newest first
  GET  WS/assets/{kind}/{name}/versions/{version}                   AssetView
  GET  WS/assets/{kind}/{name}/labels/{label}                       AssetView
  POST WS/assets/{kind}/{name}/archive|restore                      ArchiveAsk -> list of AssetView

`which`: active (the default), archived, all. `after`: the last name, or version, of the page before.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mayfly.wire.mayfly import Shape


class AssetNew(Shape):
    name: str
    version: str | None = None
    """None: the next number."""
    type: str = ""
    """As Azure's files have it; '' is the kind's own default."""
    path: str = ""
    """Where the content lies, when it is not sent."""
    upload: str | None = None
    """Digest of the tree that was sent for a local path."""
    is_file: bool = False
    description: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    definition: dict[str, Any] = Field(default_factory=dict)
    """What its kind has of its own."""


class AssetView(Shape):
    kind: str
    name: str
    version: str
    type: str
    description: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    path: str = ""
    tree: str | None = None
    is_file: bool = False
    job: str | None = None
    """The job that made it."""
    archived: bool = False
    created_by: str
    created_at: int
    definition: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)


class AssetPage(Shape):
    assets: list[AssetView]
    more: bool


class ArchiveAsk(Shape):
    version: str | None = None
    """None: every version of the name."""
