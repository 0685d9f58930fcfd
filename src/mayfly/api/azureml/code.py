"""The code that a body names by its id, as what was sent for a job file's `code`."""

from __future__ import annotations

import re
from typing import Any

from mayfly.kit.errors import Invalid
from mayfly.services import codes
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.wire.azureml.resources import PROVIDER

_ID = re.compile(
    rf"(?:azureml:)?/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/{re.escape(PROVIDER)}"
    r"/workspaces/([^/]+)/codes/([^/]+)/versions/([^/]+)\Z",
    re.IGNORECASE,
)


def sent(world: World, id: Any, pointer: str) -> tuple[dict[str, str], dict[str, str]]:
    """What a definition and its uploads say of it: empty where no code is named. What is no id is a job file's own word.
    Raises NotFound `AssetNotFound`, Invalid `CodeIdInvalid`."""
    if id is None:
        return {}, {}
    if not isinstance(id, str):
        raise Invalid("CodeIdInvalid", "The code is named by its id.", pointer=pointer)
    match = _ID.match(id)
    if match is None:
        return {"code": id}, {}
    *names, name, version = match.groups()
    row = codes.find(world, Place(*names), name, version)
    return {"code": f"codes/{name}/{version}"}, {pointer: row.tree}
