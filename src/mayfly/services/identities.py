"""Who a job is where it speaks for itself: its submitter, or its workspace's own identity. Never more than that."""

from __future__ import annotations

import uuid

from mayfly.kit.errors import Invalid, NotFound
from mayfly.services import attempts
from mayfly.services.accesstokens import Holder
from mayfly.services.assignments import attempt_subject
from mayfly.services.places import Place
from mayfly.services.tokens import Principal
from mayfly.services.world import World
from mayfly.store import codec, jobs, workspaces
from mayfly.wire.agent import Fence

NAME = "mayfly"
"""Of the identity that every workspace has."""
_MANAGED = ("managed", "managed_identity")


def of_workspace(place: Place) -> tuple[str, str]:
    """Client and principal id of a workspace's own identity: the same before the workspace is made and after."""
    first, second = (str(uuid.uuid5(uuid.NAMESPACE_URL, f"mayfly/{place}/{name}")) for name in ("client", "object"))
    return first, second


def of_job(world: World, node: str, attempt: str, client_id: str) -> Holder:
    """Whose access tokens a job gets that asks for those of `client_id` ('': its own). `attempt`: `<job>/<attempt>`, of
    which the node works. Raises Forbidden `AttemptFenced`, Invalid `IdentityUnknown`."""
    context = attempts.context_of(world, node, attempt)
    row = world.store.read(lambda connection: jobs.by_id(connection, context.job))
    if row is None:
        raise NotFound("JobNotFound", "The job is not there.")
    at = world.store.read(lambda connection: workspaces.get(connection, row.workspace))
    place = Place(at.subscription, at.resource_group, at.name)
    subject = attempt_subject(Fence(job=context.job, attempt=context.attempt, epoch=world.epoch))
    wanted = codec.load(row.spec).get("identity") or {}
    own, _ = of_workspace(place)
    if wanted.get("type") not in _MANAGED:
        if client_id:
            raise Invalid(
                "IdentityUnknown",
                f"This job is {row.submitter}, who submitted it, and has no managed identity '{client_id[:80]}'.",
                remedy="Leave client_id out, or give the job 'identity: {type: managed}': it is then its workspace.",
            )
        return Holder(Principal("user", row.submitter), attempt=subject)
    for asked in (client_id, *(wanted.get(key) or "" for key in ("client_id", "object_id", "msi_resource_id"))):
        if asked and asked not in (*of_workspace(place), NAME) and not asked.endswith(f"/{NAME}"):
            raise Invalid(
                "IdentityUnknown",
                f"Workspace {place.workspace} has no managed identity '{asked[:80]}'.",
                remedy=f"Its own has the client id {own}: write that, or leave it out.",
            )
    return Holder(Principal("user", f"{NAME}@{place.workspace}"), workspace=str(place), attempt=subject)
