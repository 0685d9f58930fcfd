"""Files at `http://` and `https://`: read by ranges, taken up again where a connection broke."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import httpx

from mayfly.domain.references import shown
from mayfly.kit.errors import Conflict, Forbidden, Invalid, MayflyError, NotFound, Unavailable
from mayfly.ports.storage import Entry, Place

_TRIES = 5
"""Connections in a row that bring nothing before it is given up."""
_RANGE = re.compile(r"bytes \d+-\d+/(\d+|\*)")
_IDENTITY = {"Accept-Encoding": "identity", "User-Agent": "mayfly"}


class HttpStorage:
    """Implements `ports.storage.Storage`; nothing can be written, and every address is one file. A redirect is followed
    to http(s) only."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            follow_redirects=True,
            max_redirects=5,
            timeout=httpx.Timeout(30.0, connect=10.0),
            headers=_IDENTITY,
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def is_file(self, place: Place) -> bool:
        self._entry(place)
        return True

    def list(self, place: Place) -> Iterator[Entry]:
        return iter([self._entry(place)])

    def read(
        self, place: Place, path: str, offset: int = 0, length: int | None = None, version: str = ""
    ) -> Iterator[bytes]:
        del path  # there is only one
        pieces = self._pieces(place, offset, length, version)
        first = next(pieces, b"")  # so that what is wrong is raised now

        def chunks() -> Iterator[bytes]:
            if first:
                yield first
            yield from pieces

        return chunks()

    def write(self, place: Place, path: str, chunks: Iterable[bytes]) -> None:
        raise self._read_only(place)

    def remove(self, place: Place) -> None:
        raise self._read_only(place)

    def _read_only(self, place: Place) -> Invalid:
        return Invalid("AddressInvalid", f"'{shown(place.address)}' can be read, not written.")

    def _entry(self, place: Place) -> Entry:
        with self._get(place, {"Range": "bytes=0-0"}) as response:
            size, version = _size(response), _version(response)
            if size is None:  # a server that does not say: count
                size = sum(len(chunk) for chunk in response.iter_raw())
        name = unquote(urlsplit(place.address).path.rstrip("/").rpartition("/")[2])
        return Entry(name if name not in ("", ".", "..") and "/" not in name else "download", size, version)

    def _pieces(self, place: Place, offset: int, length: int | None, version: str) -> Iterator[bytes]:
        end = None if length is None else offset + length
        failed = 0
        while end is None or offset < end:
            before = offset
            try:
                for chunk in self._once(place, offset, end, version):
                    offset += len(chunk)
                    yield chunk
                return
            except (httpx.TransportError, _Short) as error:
                failed = 0 if offset > before else failed + 1
                if failed >= _TRIES:
                    raise Unavailable(
                        "StorageUnreachable",
                        f"'{shown(place.address)}' broke off at byte {offset}, and again each time it was asked.",
                        remedy="Try again later.",
                    ) from error

    def _once(self, place: Place, offset: int, end: int | None, version: str) -> Iterator[bytes]:
        ranged = offset > 0 or end is not None
        asked = {"Range": f"bytes={offset}-{'' if end is None else end - 1}"} if ranged else {}
        with self._get(place, asked) as response:
            if response.status_code == 416:
                return
            if version and _version(response) not in ("", version):
                raise Conflict("DataChanged", f"'{shown(place.address)}' has changed since it was listed.")
            skip = 0 if response.status_code == 206 else offset
            whole, at = _size(response), offset - skip
            for chunk in response.iter_raw():
                at += len(chunk)
                wanted = chunk[skip : len(chunk) - max(0, at - end) if end is not None else None]
                skip = max(0, skip - len(chunk))
                if wanted:
                    yield wanted
                if end is not None and at >= end:
                    return
            if whole is not None and at < min(whole, end if end is not None else whole):
                raise _Short

    @contextmanager
    def _get(self, place: Place, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Raises what the answer means; `httpx.TransportError` while it is read."""
        try:
            response = self._client.send(self._client.build_request("GET", place.address, headers=headers), stream=True)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise Invalid(
                "AddressInvalid", f"'{shown(place.address)}' leads to something that is not read over the web."
            ) from error
        except httpx.TransportError as error:
            raise Unavailable(
                "StorageUnreachable",
                f"'{shown(place.address)}' cannot be reached from the server.",
                remedy="Check the address and the server's network, or map the address to a local path (uri_map).",
            ) from error
        try:
            if response.status_code >= 400 and response.status_code != 416:
                raise _refusal(place, response.status_code)
            if response.status_code == 416 and headers.get("Range") == "bytes=0-0":  # an empty file
                response.status_code = 206
                response.headers["content-range"] = "bytes 0-0/0"
            yield response
        finally:
            response.close()


class _Short(Exception):
    """The answer ended before its end."""


def _size(response: httpx.Response) -> int | None:
    if response.status_code == 206:
        match = _RANGE.match(response.headers.get("content-range", ""))
        return int(match[1]) if match is not None and match[1] != "*" else None
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _version(response: httpx.Response) -> str:
    headers = response.headers
    return headers.get("etag") or headers.get("last-modified") or ""


def _refusal(place: Place, status: int) -> MayflyError:
    address = shown(place.address)
    if status in (401, 403, 407):
        return Forbidden("DataForbidden", f"'{address}' may not be read (HTTP status {status}).")
    if status in (404, 410):
        return NotFound("DataNotFound", f"There is nothing at '{address}' (HTTP status {status}).")
    return Unavailable("StorageUnreachable", f"'{address}' answered with HTTP status {status}.")
