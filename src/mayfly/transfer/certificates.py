"""Whom to trust over TLS, and bundles of it for programs that take one file and trust nothing beside it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from mayfly.kit.errors import Invalid

VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""What such a file is named by: the first is read by Azure's ordinary clients, the second by its asynchronous ones."""
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def trusted() -> ssl.SSLContext:
    """The system's authorities, or those that SSL_CERT_FILE names, and the public ones: not every Python knows a system's."""
    import certifi  # only who speaks TLS pays for finding it

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def merged(files: Iterable[Path]) -> bytes:
    """The public authorities and those of `files`, each once. Raises Invalid `BundleUnreadable`."""
    import certifi  # only who wants a bundle pays for finding it

    told: list[tuple[Path, int, int]] = []
    for path in (*files, Path(certifi.where())):
        try:
            now = path.stat()
            told.append((path, now.st_mtime_ns, now.st_size))
            _blocks(*told[-1])
        except OSError as error:
            raise Invalid(
                "BundleUnreadable",
                f"The certificates in {path} cannot be read: {error.strerror or error}.",
                remedy=f"Correct or unset {' or '.join(VARIABLES)}.",
            ) from error
    return _together(tuple(told))


@lru_cache(16)
def _together(told: tuple[tuple[Path, int, int], ...]) -> bytes:
    return b"\n".join(dict.fromkeys(block for one in told for block in _blocks(*one))) + b"\n"


@lru_cache(16)
def _blocks(path: Path, _changed_ns: int, _size: int) -> tuple[bytes, ...]:
    """The certificates in a file; read anew only when it has changed."""
    return tuple(block.replace(b"\r\n", b"\n") for block in _BLOCK.findall(path.read_bytes()))
