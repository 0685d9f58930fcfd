"""Access tokens as Azure's clients know them: JWTs of one form, signed by this server, for one audience, for an hour.

They are given for a token of ours (`services.tokens`), and only this server reads them: the header is always the same text,
so there is no algorithm to be talked into.
"""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Denied, Invalid
from mayfly.services.tokens import Principal, Tokens
from mayfly.wire.azureml.cloud import AUDIENCE, SUFFIX

LIFE_S = 3600
MANAGEMENT, MACHINE_LEARNING, STORAGE = "management", "machine learning", "storage"
"""What an audience stands for: the doors shaped as Azure's, those of machine learning, and blobs."""
_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
_PURPOSE = "access token"
_KNOWN = {
    "management.azure.com": MANAGEMENT,  # scripts ask for one to see whether signing in works at all
    "management.core.windows.net": MANAGEMENT,
    "ml.azure.com": MACHINE_LEARNING,
    urlsplit(AUDIENCE).netloc: MACHINE_LEARNING,
    "storage.azure.com": STORAGE,
}


@dataclass(frozen=True, slots=True)
class AccessToken:
    text: str
    expires_at: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Holder:
    principal: Principal
    workspace: str = ""
    """`<subscription>/<group>/<workspace>` where that is all it may reach."""
    attempt: str = ""
    """`<job>/<attempt>/<epoch>` of the job that was given it: it ends with that."""


class AccessTokens:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.tenant = str(uuid.uuid5(uuid.NAMESPACE_URL, tokens.seal("tenant", "")))
        """Of this server, as Azure's tokens have one."""

    def issue(self, holder: Holder, resource: str, hosts: frozenset[str], now: Millis) -> AccessToken:
        """For `resource` as it was asked for. `hosts`: the server's own names, with ports. Raises Invalid
        `AudienceUnknown`."""
        who = holder.principal
        resource = resource.strip().removesuffix("/.default")
        if _meaning(resource, hosts) is None:
            raise Invalid(
                "AudienceUnknown",
                f"This server has no tokens for '{resource[:200]}': it is not Azure.",
                remedy=f"It gives tokens for itself, {AUDIENCE} and https://storage.azure.com. For Azure's own "
                "services use a credential of your own, as in AzureCliCredential().",
            )
        seconds = now // 1000
        claims = {
            "iss": f"https://sts.{SUFFIX}/{self.tenant}/",
            "aud": resource,
            "mayfly": _meaning(resource, hosts),
            "sub": who.subject,
            "kind": who.kind,
            "ws": holder.workspace,
            "attempt": holder.attempt,
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.tenant}/{who.kind}/{who.subject}")),
            "tid": self.tenant,
            "iat": seconds,
            "nbf": seconds,
            "exp": seconds + LIFE_S,
        }
        head = f"{_HEADER}.{_encode(json.dumps(claims, separators=(',', ':')).encode())}"
        return AccessToken(f"{head}.{self._tokens.seal(_PURPOSE, head)}", seconds + LIFE_S)

    def verify(self, text: str, meanings: frozenset[str], now: Millis) -> Holder:
        """Who holds it; whether an attempt goes on is not asked here. Raises Denied `TokenInvalid`, `TokenExpired`,
        `TokenAudienceWrong`."""
        head, _, signature = text.rpartition(".")
        if not head.startswith(f"{_HEADER}.") or not hmac.compare_digest(
            signature.encode(), self._tokens.seal(_PURPOSE, head).encode()
        ):
            raise Denied("TokenInvalid", "The access token is not one of this server's.", remedy=_AGAIN)
        claims: dict[str, Any] = json.loads(_decode(head.partition(".")[2]))
        if not claims["nbf"] <= now // 1000 < claims["exp"]:
            raise Denied("TokenExpired", "The access token has expired.", remedy=_AGAIN)
        if claims["mayfly"] not in meanings:
            raise Denied("TokenAudienceWrong", f"The access token is for {claims['aud']}, not for this door.")
        return Holder(Principal(claims["kind"], claims["sub"]), claims["ws"], claims.get("attempt", ""))


_AGAIN = "Run the script with `mayfly exec -- …`, or take up the variables of `mayfly env` again."


def is_access_token(text: str) -> bool:
    """By its form."""
    return text.startswith("eyJ")


def _meaning(resource: str, hosts: frozenset[str]) -> str | None:
    parts = urlsplit(resource)
    if parts.scheme != "https" or parts.path.strip("/") or parts.query:
        return None
    return MANAGEMENT if parts.netloc in hosts else _KNOWN.get(parts.netloc)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
