"""Whether packages can be had: the index that environments are made from, its certificate, and the clock beside its."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from mayfly.kit.clock import Clock
from mayfly.transfer import pip_settings

PUBLIC = "https://pypi.org/simple"
MOST_SKEW_S = 120
_WITHIN_S = 6.0


def checks(environ: Mapping[str, str], clock: Clock, check: Callable[..., Any]) -> Iterator[Any]:
    """`check(name, state, message, remedy)` for the index, and for the clock where the index tells the time."""
    told = pip_settings.uv_environment(environ)
    if "--no-index" in pip_settings.uv_options(environ):
        yield check("package index", "ok", "pip's settings say that none is to be asked")
        return
    url = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or told.get("UV_DEFAULT_INDEX") or PUBLIC
    host = urlsplit(url).hostname or url
    certificates = environ.get("SSL_CERT_FILE") or told.get("SSL_CERT_FILE")
    try:
        context = ssl.create_default_context(cafile=certificates)
        answer = httpx.get(f"{url.rstrip('/')}/pip/", timeout=_WITHIN_S, follow_redirects=True, verify=context)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        yield _failed(check, host, error, certificates)
        return
    if answer.status_code >= 400:
        remedy = "Check the address and the password in pip's or uv's settings."
        yield check("package index", "fault", f"{host} answers with status {answer.status_code}.", remedy)
        return
    yield check("package index", "ok", f"{host} answers" + (" over TLS" if url.startswith("https") else ""))
    yield from _clock(check, host, answer.headers.get("date"), clock)


def _failed(check: Callable[..., Any], host: str, error: Exception, certificates: str | None) -> Any:
    words = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    if "CERTIFICATE" in words.upper() or isinstance(error, ssl.SSLError):
        given = f" ({certificates})" if certificates else ""
        return check(
            "certificates",
            "fault",
            f"The certificate of {host} is not trusted{given}: {words}",
            "Set SSL_CERT_FILE to a file with your network's certificates; if they expired, check this machine's date.",
        )
    if certificates and isinstance(error, OSError) and not isinstance(error, httpx.HTTPError):
        return check(
            "certificates",
            "fault",
            f"SSL_CERT_FILE={certificates} cannot be read: {words}",
            "Name a file that is there.",
        )
    return check(
        "package index",
        "fault",
        f"{host} cannot be reached: {words}",
        "Check the network and HTTPS_PROXY, or name an index that you can reach: PIP_INDEX_URL=https://…; "
        "jobs that need no new packages run all the same.",
    )


def _clock(check: Callable[..., Any], host: str, date: str | None, clock: Clock) -> Iterator[Any]:
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError):
        return
    skew = clock.now() / 1000 - theirs
    if abs(skew) > MOST_SKEW_S:
        words = f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {host}."
        yield check("clock", "fault", words, "Set it: timedatectl set-ntp true")
    else:
        yield check("clock", "ok", f"within {MOST_SKEW_S} s of {host}")
