"""What every resource of Azure's doors has: an id made of names, a type, who made it and when; and pages of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

PROVIDER = "Microsoft.MachineLearningServices"
Body = dict[str, Any]

_PREFIX = re.compile(rf"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/{re.escape(PROVIDER)}/", re.IGNORECASE)

_WORKSPACE = re.compile(
    rf"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/{re.escape(PROVIDER)}/workspaces/([^/]+)", re.IGNORECASE
)


def workspace_id(subscription: str, group: str, workspace: str) -> str:
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{PROVIDER}/workspaces/{workspace}"


def canonical(path: str) -> str:
    """Azure's paths do not mind the case of their fixed words; routes do."""
    found = _PREFIX.match(path)
    if found is None:
        return path
    return f"/subscriptions/{found[1]}/resourceGroups/{found[2]}/providers/{PROVIDER}/{path[found.end() :]}"


def workspace_in(path: str) -> str:
    """`<subscription>/<group>/<workspace>` of a path below one; '' of any other."""
    found = _WORKSPACE.search(path)
    return "/".join(found.groups()) if found is not None else ""


def resource(
    id: str, type: str, properties: Mapping[str, Any], *, by: str = "", at: int | None = None, **more: Any
) -> Body:
    """`type` without the provider, as in workspaces/jobs; `at` in milliseconds."""
    made = None if at is None else moment(at)
    system = {
        "createdBy": by or None,
        "createdByType": "User",
        "createdAt": made,
        "lastModifiedBy": by or None,
        "lastModifiedByType": "User",
        "lastModifiedAt": made,
    }
    return {
        "id": id,
        "name": id.rpartition("/")[2],
        "type": f"{PROVIDER}/{type}",
        "properties": dict(properties),
        "systemData": {key: value for key, value in system.items() if value is not None},
        **more,
    }


def page(values: Sequence[Body], next_link: str | None = None) -> Body:
    return {"value": list(values), **({"nextLink": next_link} if next_link else {})}


def moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "+00:00"


def properties_of(body: Mapping[str, Any]) -> Body:
    """The `properties` of what was sent; empty where there are none."""
    found = body.get("properties")
    return dict(found) if isinstance(found, Mapping) else {}


def labels_of(value: Any) -> dict[str, str]:
    """Tags or properties, as text; what has no value is left out."""
    return {str(key): str(one) for key, one in value.items() if one is not None} if isinstance(value, Mapping) else {}
