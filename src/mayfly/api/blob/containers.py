"""Containers: what lies in one, and that it is there."""

from __future__ import annotations

import base64
import binascii

from anyio import to_thread

from mayfly.api.blob.call import Answer, Call
from mayfly.kit.errors import Conflict, Forbidden, Invalid
from mayfly.services import blobs
from mayfly.services.blobs import MOST_IN_PAGE
from mayfly.services.holdings import Page
from mayfly.wire import blob as wire
from mayfly.wire.blob import Listed


async def listing(call: Call) -> Answer:
    """Pages by marker; `include=metadata` is understood, other things to include are not there."""
    call.allow("l")
    query = call.query
    prefix = call.folder + query.get("prefix", "")
    if call.grant.blob or (call.grant.folder and not prefix.startswith(f"{call.grant.folder}/")):
        raise Forbidden(
            "AuthorizationPermissionMismatch",
            "The signature is not for the whole container.",
            remedy=f"List with the prefix '{call.grant.folder}/'." if call.grant.folder else "Ask for one that is.",
        )
    most = _most(query.get("maxresults"))
    begin = _place(query.get("marker", ""))
    container = "/".join(filter(None, (call.address.container, call.folder.rstrip("/"))))

    def work() -> Page:
        return blobs.listing(call.world, call.space, prefix, query.get("delimiter", ""), begin, most)

    found = await to_thread.run_sync(work)
    metadata = "metadata" in query.get("include", "").split(",")
    body = wire.blob_list(
        call.address.service, container, query, _listed(found, metadata, len(call.folder)), _marker(found.next)
    )
    return Answer(200, {"Content-Type": "application/xml"}, body)


async def properties(call: Call) -> Answer:
    """Also for a signature that may only list: clients ask whether the container is there before they do."""
    call.allow("rl")
    blobs.space_of(call.address.container)
    headers = {
        "ETag": '"container"',
        "Last-Modified": wire.moment(call.world.started_at),
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-has-immutability-policy": "false",
        "x-ms-has-legal-hold": "false",
    }
    return Answer(200, headers)


async def create(call: Call) -> Answer:
    call.allow("cw")
    blobs.space_of(call.address.container)
    raise Conflict("ContainerAlreadyExists", "The container of a datastore is always there.")


def _listed(page: Page, metadata: bool, cut: int) -> list[Listed]:
    known = {blob.path: blob for blob in page.blobs}
    found = []
    for name in page.names:
        blob = known.get(name)
        if blob is None:
            found.append(Listed(name[cut:]))
            continue
        told = blob.metadata if metadata else None
        found.append(Listed(name[cut:], blob.size, blob.etag, blob.created_at, blob.modified_at, blob.headers, told))
    return found


def _most(text: str | None) -> int:
    if text is None:
        return MOST_IN_PAGE
    if not text.isascii() or not text.isdigit() or not int(text[:9]) >= 1:
        raise Invalid("OutOfRangeQueryParameterValue", "maxresults is a number from 1 to 5000.")
    return min(int(text[:9]), MOST_IN_PAGE)


def _marker(place: str | None) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode() if place else ""


def _place(marker: str) -> str:
    try:
        return base64.urlsafe_b64decode(marker).decode()
    except (binascii.Error, ValueError) as error:
        raise Invalid("InvalidQueryParameterValue", "The marker is not one that this server gave.") from error
