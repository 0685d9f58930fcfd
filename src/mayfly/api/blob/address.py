"""Where a request for a blob leads.

`/<account>.blob.<suffix>/<container>/<blob>` is how clients that were told an account named `host/account` ask;
`/<container>/<blob>` how those do that lose the first part on the way, and those that find the account in the host's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from mayfly.kit.errors import Invalid
from mayfly.services.blobs import is_container

_ACCOUNT = re.compile(r"[a-z0-9-]{1,63}\.blob\.[a-z0-9.-]+(:\d+)?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    service: str
    """What stands before the container, from the scheme on, with a '/' at its end."""
    container: str
    """'' for the account itself."""
    blob: str
    """'' for the container itself."""


def parse(scope: Mapping) -> Address | None:
    """None for what is another door's. Raises Invalid `InvalidUri`."""
    raw = bytes(scope.get("raw_path") or scope["path"].encode()).lstrip(b"/")
    first, _, rest = raw.partition(b"/")
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    account = ""
    if _ACCOUNT.match(first.decode("latin-1")):
        account, raw = f"{first.decode('latin-1')}/", rest
    elif not is_container(first.decode("latin-1")) and not _ACCOUNT.match(host):
        return None
    container, _, blob = raw.partition(b"/")
    try:
        names = unquote_to_bytes(container).decode(), unquote_to_bytes(blob).decode()
    except UnicodeDecodeError as error:
        raise Invalid("InvalidUri", "The address is not UTF-8.") from error
    return Address(f"{scope['scheme']}://{host}/{account}", *names)


def of_url(url: str) -> tuple[Address | None, list[tuple[str, str]]]:
    """Where an address leads that somebody wrote, and its query; None for what no blob can be at."""
    parts = urlsplit(url)
    host = (b"host", parts.netloc.encode("latin-1", "replace"))
    scope = {"raw_path": parts.path.encode(), "scheme": parts.scheme, "headers": [host]}
    return parse(scope), parse_qsl(parts.query, keep_blank_values=True)
