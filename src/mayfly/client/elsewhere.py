"""A job that is not in the workspace that was asked: in which one of the others it is."""

from __future__ import annotations

from mayfly.client.doors import Doors, Place
from mayfly.kit.errors import MayflyError, NotFound

_MOST = 20
"""So many workspaces are looked into."""


def told(error: NotFound, doors: Doors, name: str) -> NotFound:
    """The same error; where the caller finds the job in another workspace, it says how to ask there."""
    try:
        for one in doors.workspaces()[:_MOST]:
            place = Place(one["subscription"], one["resource_group"], one["name"])
            if place != doors.place and sum(one["jobs"].values()) and _is_there(doors, place, name):
                names = f"--subscription {place.subscription} -g {place.group} -w {place.workspace}"
                return NotFound(error.code, error.message, remedy=f"It is in another workspace: add {names}.")
    except MayflyError:
        pass  # the first answer stands
    return error


def _is_there(doors: Doors, place: Place, name: str) -> bool:
    try:
        Doors(doors.session, place).job(name)
    except NotFound:
        return False
    return True
