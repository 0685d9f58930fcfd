"""Addresses that open one log file, for whoever has them, for a day: Azure's clients fetch logs without a token."""

from __future__ import annotations

import hmac
from urllib.parse import quote

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Denied
from mayfly.services.tokens import Tokens

LIFE_MS = 24 * 3_600_000
PREFIX = "/logfiles"
_PURPOSE = "log file"


def path_of(tokens: Tokens, job: str, file: str, now: Millis) -> str:
    """Path and query. The same for an hour, so that a client that polls asks for one thing."""
    until = now - now % 3_600_000 + LIFE_MS
    return f"{PREFIX}/{job}/{quote(file)}?se={until}&sig={tokens.seal(_PURPOSE, f'{job}/{file}/{until}')}"


def check(tokens: Tokens, job: str, file: str, until: str, signature: str, now: Millis) -> None:
    """Raises Denied `AddressInvalid`, `AddressExpired`."""
    if not hmac.compare_digest(signature.encode(), tokens.seal(_PURPOSE, f"{job}/{file}/{until}").encode()):
        raise Denied("AddressInvalid", "This address was not given by this server, or was altered.")
    if int(until) <= now:
        raise Denied("AddressExpired", "This address is too old.", remedy="Ask for the job's details again.")
