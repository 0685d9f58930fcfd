"""Access tokens for who has one of ours: the protocol by which Azure's managed identities are asked on a machine."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mayfly.api import problems
from mayfly.api.azureml.here import Here
from mayfly.kit.errors import Denied, Invalid, MayflyError

_IDS = ("client_id", "clientid", "object_id", "principal_id", "mi_res_id", "msi_res_id")


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get("/msi/token")
    async def token(request: Request) -> JSONResponse:
        try:
            return JSONResponse(_token(here, request), headers={"Cache-Control": "no-store"})
        except MayflyError as error:
            answer = problems.told(error)
            words = answer["error"]["message"]
            return JSONResponse(
                {**answer, "statusCode": problems.status_of(error), "message": words}, problems.status_of(error)
            )

    return routes


def _token(here: Here, request: Request) -> dict[str, str]:
    who = here.world.tokens.verify(request.headers.get("x-identity-header") or request.headers.get("secret"))
    if who.kind != "user":
        raise Denied("TokenOfAnotherKind", f"A {who.kind}'s token gives no access tokens here.")
    asked = request.query_params
    for name in _IDS:
        if asked.get(name):
            raise Invalid(
                "IdentityUnknown",
                f"There is no managed identity '{asked[name][:80]}' on this machine.",
                remedy=f"Leave {name} out, and unset AZURE_CLIENT_ID: you are then yourself.",
            )
    resource = asked.get("resource") or asked.get("scope") or ""
    found = here.access.issue(who, resource, here.hosts(request), here.world.clock.now())
    return {
        "access_token": found.text,
        "expires_on": str(found.expires_at),
        "not_before": str(here.world.clock.now() // 1000),
        "resource": resource,
        "token_type": "Bearer",
    }
