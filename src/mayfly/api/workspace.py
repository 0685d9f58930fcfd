"""What every route of a workspace shares: its address, its names, and who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request

WS = "/mayfly/v1/subscriptions/{subscription}/resourceGroups/{group}/workspaces/{workspace}"

LONGEST_NAME = 255
Name = Annotated[str, Path(max_length=LONGEST_NAME)]
IN_WORKSPACE = (
    r"/mayfly/v1/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/workspaces/(?P<workspace>[^/]+)"
)
"""What `WS` is as a pattern."""


def user(request: Request) -> str:
    return request.scope["principal"].subject
