"""Many requests in the body of one, as Azure's blob service takes them: multipart/mixed of HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mayfly.kit.errors import Invalid

MOST = 256
"""Requests in a batch, as in Azure."""
_BOUNDARY = re.compile(r'boundary="?([\w\'()+,./:=? -]{1,70})"?', re.IGNORECASE | re.ASCII)
_LINE = re.compile(r"([A-Z]{1,10}) (\S+) HTTP/1\.[01]\Z")


@dataclass(frozen=True, slots=True)
class Part:
    id: str
    method: str
    url: str
    headers: Mapping[str, str]
    """By lower-case names."""


def parts(content_type: str, body: bytes) -> list[Part]:
    """Raises Invalid `InvalidInput`."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise Invalid("InvalidInput", "A batch is multipart/mixed with a boundary.")
    text = body.decode("latin-1").replace("\r\n", "\n")
    pieces = text.split(f"--{found[1]}")[1:-1]
    if len(pieces) > MOST:
        raise Invalid("InvalidInput", f"A batch has at most {MOST} requests.")
    return [_part(piece.strip("\n")) for piece in pieces]


def _part(text: str) -> Part:
    about, _, request = text.partition("\n\n")
    line, _, rest = request.lstrip("\n").partition("\n")
    asked = _LINE.match(line)
    if asked is None:
        raise Invalid("InvalidInput", f"{line[:60]!r} is no request.")
    return Part(_headers(about).get("content-id", ""), asked[1], asked[2], _headers(rest.partition("\n\n")[0]))


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\n"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def answer(boundary: str, answers: Iterable[tuple[str, int, Mapping[str, str], bytes]]) -> bytes:
    """`answers`: id, status, headers and body of each."""
    lines: list[bytes] = []
    for id, status, headers, body in answers:
        lines += _lines((f"--{boundary}", "Content-Type: application/http", f"Content-ID: {id}", ""))
        lines += _lines((f"HTTP/1.1 {status} {_WORDS.get(status, 'Refused')}",))
        lines += _lines([f"{name}: {value}" for name, value in headers.items()])
        lines += [f"Content-Length: {len(body)}".encode(), b"", body]
    return b"\r\n".join((*lines, f"--{boundary}--".encode(), b""))


_WORDS = {202: "Accepted", 404: "Not Found", 403: "Forbidden", 412: "Precondition Failed"}


def _lines(texts: Sequence[str]) -> list[bytes]:
    return [text.encode("latin-1", "replace") for text in texts]
