"""Access tokens for who has one of ours: the protocol by which Azure's managed identities are asked on a machine."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mayfly.api import problems
from mayfly.api.azureml.here import Here
from mayfly.kit.errors import Denied, Invalid, MayflyError
from mayfly.services import identities
from mayfly.services.accesstokens import Holder

_IDS = ("client_id", "clientid", "object_id", "principal_id", "mi_res_id", "msi_res_id")


def router(here: Here) -> APIRouter:
    routes = APIRouter()

    @routes.get("/msi/token")
    async def token(request: Request) -> JSONResponse:
        return _answer(lambda: _token(here, request, _user(here, request)))

    @routes.get("/agent/v1/identity")
    def of_job(request: Request) -> JSONResponse:
        """For a job, whose node asks."""
        node, attempt = request.scope["principal"].subject, request.headers.get("mayfly-attempt", "")
        asked = next((request.query_params[name] for name in _IDS if request.query_params.get(name)), "")
        return _answer(lambda: _token(here, request, identities.of_job(here.world, node, attempt, asked)))

    return routes


def _answer(told: Callable[[], dict[str, str]]) -> JSONResponse:
    try:
        return JSONResponse(told(), headers={"Cache-Control": "no-store"})
    except MayflyError as error:
        answer = problems.told(error)
        words = answer["error"]["message"]
        return JSONResponse(
            {**answer, "statusCode": problems.status_of(error), "message": words}, problems.status_of(error)
        )


def _user(here: Here, request: Request) -> Holder:
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
    return Holder(who)


def _token(here: Here, request: Request, holder: Holder) -> dict[str, str]:
    asked = request.query_params
    resource = asked.get("resource") or asked.get("scope") or ""
    found = here.access.issue(holder, resource, here.hosts(request), here.world.clock.now())
    return {
        "access_token": found.text,
        "expires_on": str(found.expires_at),
        "not_before": str(here.world.clock.now() // 1000),
        "resource": resource,
        "token_type": "Bearer",
    }
