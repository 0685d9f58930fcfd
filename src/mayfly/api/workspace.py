"""What every route of a workspace shares: its address, its names, and who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request

WS = "/mayfly/v1/subscriptions/{subscription}/resourceGroups/{group}/workspaces/{workspace}"

Name = Annotated[str, Path(max_length=255)]


def user(request: Request) -> str:
    return request.scope["principal"].subject
