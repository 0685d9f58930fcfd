"""Addresses that open one thing for whoever has them, for a while: a log file, because Azure's clients fetch logs without a
token, and the page of a job, because browsers have none."""

from __future__ import annotations

import hmac
from urllib.parse import quote

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Denied
from mayfly.services.tokens import Tokens

LIFE_MS = 24 * 3_600_000
PAGE_LIFE_MS = 7 * LIFE_MS
PREFIX = "/logfiles"
PAGES = "/jobs"
_LOG, _PAGE = "log file", "job page"


def path_of(tokens: Tokens, job: str, file: str, now: Millis) -> str:
    """Path and query. The same for an hour, so that a client that polls asks for one thing."""
    return f"{PREFIX}/{job}/{quote(file)}?{_query(tokens, _LOG, f'{job}/{file}', now, LIFE_MS)}"


def page_of(tokens: Tokens, job: str, now: Millis) -> str:
    """As `path_of`."""
    return f"{PAGES}/{job}?{_query(tokens, _PAGE, job, now, PAGE_LIFE_MS)}"


def check(tokens: Tokens, job: str, file: str, until: str, signature: str, now: Millis) -> None:
    """Raises Denied `AddressInvalid`, `AddressExpired`."""
    _check(tokens, _LOG, f"{job}/{file}", until, signature, now)


def check_page(tokens: Tokens, job: str, until: str, signature: str, now: Millis) -> None:
    """As `check`."""
    _check(tokens, _PAGE, job, until, signature, now)


def _query(tokens: Tokens, purpose: str, what: str, now: Millis, life: int) -> str:
    until = now - now % 3_600_000 + life
    return f"se={until}&sig={tokens.seal(purpose, f'{what}/{until}')}"


def _check(tokens: Tokens, purpose: str, what: str, until: str, signature: str, now: Millis) -> None:
    if not hmac.compare_digest(signature.encode(), tokens.seal(purpose, f"{what}/{until}").encode()):
        raise Denied("AddressInvalid", "This address was not given by this server, or was altered.")
    if int(until) <= now:
        raise Denied("AddressExpired", "This address is too old.", remedy="Ask for the job's details again.")
