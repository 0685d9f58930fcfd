"""Tokens: `<kind>.<subject>.<mac>`, signed with a secret that never leaves the server's folder.

A token names who holds it; whether that one may do a thing is asked of the rows at every call (an attempt's token ends
with the attempt). Nothing secret is kept in rows: a token can be made again from the secret and its subject.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from mayfly.kit.errors import Denied


@dataclass(frozen=True, slots=True)
class Principal:
    """`kind` is user, node, attempt or pages. `subject` is the user's name, the node's id, `<job>/<attempt>/<epoch>`, or
    `<until>/<workspace>/<user>` of who looks at MLflow's pages."""

    kind: str
    subject: str


_PREFIX = {"user": "mfu", "node": "mfn", "attempt": "mfa", "pages": "mfp"}
_KIND = {prefix: kind for kind, prefix in _PREFIX.items()}


class Tokens:
    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("the secret needs 32 bytes")
        self._secret = secret

    def issue(self, principal: Principal) -> str:
        subject = _encode(principal.subject.encode())
        return f"{_PREFIX[principal.kind]}.{subject}.{self._mac(principal)}"

    def verify(self, token: str | None) -> Principal:
        """Who holds it. Raises Denied `TokenMissing` or `TokenInvalid`."""
        if not token:
            raise Denied(
                "TokenMissing",
                "This door needs a token: Authorization: Bearer <token>.",
                remedy="The mayfly command finds it in the state folder; others read the file named in server.json.",
            )
        parts = token.split(".")
        if len(parts) == 3 and parts[0] in _KIND:
            try:
                subject = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)).decode()
            except ValueError:
                subject = ""
            principal = Principal(_KIND[parts[0]], subject)
            if subject and hmac.compare_digest(parts[2].encode(), self._mac(principal).encode()):
                return principal
        raise Denied("TokenInvalid", "The token is not one of this server's.", remedy="Is it another server's token?")

    def seal(self, purpose: str, text: str) -> str:
        """What proves that this server has said `text`, for that purpose alone."""
        key = hmac.new(self._secret, f"mayfly {purpose}".encode(), hashlib.sha256).digest()
        return _encode(hmac.new(key, text.encode(), hashlib.sha256).digest())

    def _mac(self, principal: Principal) -> str:
        text = f"{principal.kind}\x00{principal.subject}".encode()
        return _encode(hmac.digest(self._secret, text, "sha256"))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
