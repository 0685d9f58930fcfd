"""The way to the server, or to the next one: found through files, lost now and then, always found again."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from mayfly.kit.errors import Broken, Invalid, MayflyError, Unavailable
from mayfly.kit.ids import Digest
from mayfly.node.folders import NodeFolder
from mayfly.node.servers import Servers
from mayfly.transfer import packs, trees
from mayfly.wire.agent import (
    AnyReport,
    DataAsk,
    DataEntry,
    DataListing,
    Fence,
    Hello,
    JournalAck,
    LogAck,
    Publish,
    Reports,
    Tree,
    Welcome,
    Wishes,
    WishesAsk,
)

T = TypeVar("T")
_BASE = "/agent/v1"
_BATCH_FILES = 256
_BATCH_BYTES = 32 << 20
_LITTLE = 1 << 16
"""So many bytes are sent without asking whether they are there."""
_OUTSIDE = ("/data/", "/outputs/")
"""Doors behind which the server speaks to a storage: what it says of that is the answer, whatever its status."""


_SPARE_S = 30.0
"""So long a connection that nobody uses is kept; the server keeps it longer."""


@dataclass(frozen=True, slots=True)
class _Spare:
    """A connection that nobody uses now."""

    connection: http.client.HTTPConnection
    server: str
    prefix: str
    since: float


class Stopped(Exception):
    """Whoever waited was told to stop waiting."""


def _away(message: str) -> Unavailable:
    return Unavailable("ServerAway", message, remedy="The agent tries again by itself.")


class Server:
    """Safe for many threads; each has its own connection, and leaves it to the next when it is `done`. Methods raise Unavailable
    `ServerAway` when the server cannot be reached or is not ready, `StorageUnreachable` when it is there but a storage behind it
    is not, and Broken when it answered that it will not: with the code it gave, `ServerRefused` where it gave none."""

    def __init__(self, folder: NodeFolder) -> None:
        self._folder = folder
        self._servers = Servers(folder.servers, folder.node)
        self._threads = threading.local()
        self._spare: deque[_Spare] = deque()
        self._greeted = ""

    @property
    def greeted(self) -> bool:
        """Whether the server that is spoken to now knows what this node has."""
        return self._greeted == self._servers.chosen != ""

    def present(self) -> dict[str, Any]:
        """What the server that is spoken to now, or will be, has said of itself; {} when there has been none."""
        return self._servers.present()

    def done(self) -> None:
        """The thread that calls has nothing more to say for now."""
        connection = getattr(self._threads, "connection", None)
        if connection is not None:
            self._threads.connection = None
            self._spare.append(_Spare(connection, self._threads.server, self._threads.prefix, time.monotonic()))

    # --- the protocol's doors -----------------------------------------------------------------------------------------

    def hello(self, hello: Hello) -> Welcome:
        welcome = _understood(self._json("POST", "/hello", hello, 10), Welcome)
        self._greeted = self._threads.server
        return welcome

    def wishes(self, seen: int, wait_s: float) -> Wishes:
        ask = WishesAsk(node=self._folder.node, seen=seen, wait_s=wait_s)
        return _understood(self._json("POST", "/wishes", ask, wait_s + 10), Wishes)

    def report(self, reports: Iterable[AnyReport], seen: int) -> Wishes:
        body = Reports(node=self._folder.node, reports=tuple(reports), seen=seen)
        return _understood(self._json("POST", "/reports", body, 30), Wishes)

    def log(self, fence: Fence, rank: int, file: str, offset: int, data: bytes) -> int:
        """Send log bytes; the number of bytes the server has now."""
        query = (
            f"job={quote(fence.job)}&attempt={fence.attempt}&epoch={fence.epoch}&rank={rank}"
            f"&file={quote(file)}&offset={offset}"
        )
        answer = self._body("POST", f"/logs?{query}", data, {"Content-Type": "application/octet-stream"}, 30)
        return _understood(answer, LogAck).offset

    def journal(self, fence: Fence, rank: int, offset: int, data: bytes) -> int:
        """Send lines of a journal; the number of bytes that the server has published."""
        query = f"job={quote(fence.job)}&attempt={fence.attempt}&epoch={fence.epoch}&rank={rank}&offset={offset}"
        answer = self._body("POST", f"/tracking?{query}", data, {"Content-Type": "application/x-ndjson"}, 30)
        return _understood(answer, JournalAck).offset

    def tree(self, digest: str) -> Tree:
        """Raises Broken `ContentMismatch` when the answer is another tree."""
        tree = trees.decode(self._body("GET", f"/content/trees/{digest}", None, {}, 60))
        if trees.digest_of(tree) != digest:
            raise Broken("ContentMismatch", f"The file list {digest[:12]}… is not the one that was promised.")
        return tree

    def fetch(self, tree: Tree) -> Callable[[list[Digest]], Iterator[tuple[Digest, int, Iterator[bytes]]]]:
        """For `trees.materialise`: the contents of this tree in batches."""
        sizes = {entry.digest: entry.size for entry in tree.entries}

        def blobs(digests: list[Digest]) -> Iterator[tuple[Digest, int, Iterator[bytes]]]:
            for batch in _batches([(digest, sizes[digest]) for digest in digests]):
                body = msgspec.json.encode({"digests": batch})
                response = self._open("POST", "/content/fetch", body, {"Content-Type": "application/json"}, 120)
                yield from packs.read(_chunks(response))

        return blobs

    def upload(self, scan: trees.Scan, refused: set[str] | None = None) -> None:
        """Send what the server lacks of a tree, then the tree. With `refused`, files that changed since the scan do not
        cost the others: their digests are put there, and the tree is sent only if there are none."""
        sizes = {entry.digest: entry.size for entry in scan.tree.entries}
        digests = sorted(sizes)
        for start in range(0, len(digests), 5000):
            missing: list[str] = [*digests[start : start + 5000]]
            if refused is not None or sum(sizes.values()) > _LITTLE:
                asked = msgspec.json.encode({"digests": missing})
                answer = self._body("POST", "/content/missing", asked, {"Content-Type": "application/json"}, 60)
                missing = msgspec.json.decode(answer)["missing"]
            if refused is not None:
                refused |= {digest for digest in missing if digest not in scan.files}
                missing = [digest for digest in missing if digest in scan.files]
            for batch in _batches([(Digest(digest), sizes[digest]) for digest in missing]):
                try:
                    self._send(scan, batch, sizes)
                except (Broken, Invalid):
                    if refused is None:
                        raise
                    refused |= self._refused(scan, batch, sizes)
        if not refused:
            body = trees.canonical(scan.tree)
            self._body("PUT", f"/content/trees/{scan.digest}", body, {"Content-Type": "application/json"}, 60)

    def upload_small(self, scans: Sequence[trees.Scan]) -> bool:
        """As `upload` of each, in one call and without asking what the server lacks; False, and nothing is sure, where they are
        too large for that, or a file has changed."""
        files = {digest: path for scan in scans for digest, path in scan.files.items()}
        sizes = {Digest(entry.digest): entry.size for scan in scans for entry in scan.tree.entries}
        if len(sizes) > _BATCH_FILES or sum(sizes.values()) > _LITTLE or not files.keys() >= sizes.keys():
            return False
        lists = {scan.digest: trees.canonical(scan.tree) for scan in scans}
        items = [
            *((digest, sizes[digest], _file_chunks(files[digest], sizes[digest])) for digest in sizes),
            *((digest, len(data), [data]) for digest, data in lists.items()),
        ]
        try:
            self._pack(items, little=True)
        except (Broken, Invalid):
            return False
        return True

    def _send(self, scan: trees.Scan, batch: list[Digest], sizes: dict[str, int]) -> None:
        items = ((digest, sizes[digest], _file_chunks(scan.files[digest], sizes[digest])) for digest in batch)
        self._pack(items, little=sum(sizes[digest] for digest in batch) <= _LITTLE)

    def _pack(self, items: Iterable[tuple[Digest, int, Iterable[bytes]]], *, little: bool) -> None:
        body: bytes | Iterable[bytes] = packs.write(items)
        if little:
            body = b"".join(body)
        self._body("POST", "/content/blobs", body, {"Content-Type": packs.MEDIA_TYPE}, 600)

    def _refused(self, scan: trees.Scan, batch: list[Digest], sizes: dict[str, int]) -> set[str]:
        """One by one."""
        found: set[str] = set()
        for digest in batch:
            try:
                self._send(scan, [digest], sizes)
            except (Broken, Invalid):
                found.add(digest)
        return found

    def listing(self, fence: Fence, name: str, address: str = "") -> DataListing:
        """What lies behind an input, or at an address that its MLTable names."""
        ask = DataAsk(fence=fence, input=name, address=address)
        return _understood(self._json("POST", "/data/list", ask, 300), DataListing)

    def read(
        self, fence: Fence, name: str, entry: DataEntry, offset: int, length: int, address: str = ""
    ) -> Iterator[bytes]:
        """Bytes of one entry, in chunks; fewer than asked when the answer breaks off, which raises Unavailable
        `AnswerBroken`. Raises Broken `DataChanged` when it is not this version any more."""
        if length <= 0:
            return
        query = urlencode(
            {
                "job": fence.job,
                "attempt": fence.attempt,
                "epoch": fence.epoch,
                "input": name,
                "path": entry.path,
                "offset": offset,
                "length": length,
                "version": entry.version,
                **({"address": address} if address else {}),
            }
        )
        response = self._open("GET", f"/data/read?{query}", None, {}, 60)
        left, whole = length, False
        try:
            for chunk in _chunks(response):
                yield chunk[:left]
                left -= len(chunk)
                if left < 0:
                    raise Broken("DataChanged", f"'{entry.path}' has more bytes than it was listed with.")
            whole = left == 0
        finally:
            if not whole:
                self._drop()
        if left > 0:
            raise Unavailable("AnswerBroken", f"The bytes of '{entry.path}' broke off.")

    def publish(self, fence: Fence, rank: int, name: str, tree: str) -> None:
        """Have the server put a collected output where it belongs outside. Repeatable."""
        self._json("POST", "/outputs/publish", Publish(fence=fence, rank=rank, name=name, tree=tree), 3600)

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes | Iterable[bytes] | None
    ) -> http.client.HTTPResponse:
        """Pass a job's call on; whatever the server answers is the answer. Raises Unavailable when it does not."""
        return self._exchange(method, path, body, headers, 120)

    def address(self) -> str:
        """Where other machines reach this one: the address it speaks to the server from."""
        try:
            return self._connection().sock.getsockname()[0]
        except (OSError, AttributeError) as error:
            self._lose()
            raise _away(f"The server cannot be reached: {error}.") from error

    # --- plumbing -----------------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, value: object, timeout: float) -> bytes:
        return self._body(method, path, msgspec.json.encode(value), {"Content-Type": "application/json"}, timeout)

    def _body(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: dict[str, str], timeout: float
    ) -> bytes:
        response = self._open(method, path, body, headers, timeout)
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            self._lose()
            raise _away(f"The server's answer broke off: {error}.") from error

    def _open(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: dict[str, str], timeout: float
    ) -> http.client.HTTPResponse:
        response = self._exchange(method, path, body, headers, timeout)
        if response.status < 300:
            return response
        words = _read_quietly(response)
        problem = _problem(words)
        code, said = str(problem.get("code") or ""), str(problem.get("message") or "")
        if code == "StorageUnreachable":
            raise Unavailable(code, said, remedy=problem.get("remedy"))
        told = code if path.startswith(_OUTSIDE) else ""
        status, door = response.status, path.partition("?")[0]
        if status in (401, 408, 425, 429, 503) or (status >= 500 and not told):
            self._lose()
            raise _away(f"The server answered {status} to {door}: {words}")
        if told:
            raise Broken(told, said, remedy=problem.get("remedy"))
        raise Broken("ServerRefused", f"The server answered {status} to {door}: {words}")

    def _exchange(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: dict[str, str], timeout: float
    ) -> http.client.HTTPResponse:
        try:
            connection = self._connection()
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            whole = {"Authorization": f"Bearer {self._folder.token}", **headers}
            chunked = not (body is None or isinstance(body, bytes)) and "Content-Length" not in headers
            if chunked:
                whole["Transfer-Encoding"] = "chunked"
            connection.request(method, self._prefix() + _BASE + path, body, whole, encode_chunked=chunked)
            return connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._lose()
            raise _away(f"The server cannot be reached: {error}.") from error
        except MayflyError:  # of who gives the body
            self._drop()
            raise

    def _connection(self) -> http.client.HTTPConnection:
        connection = getattr(self._threads, "connection", None)
        if connection is not None and self._threads.server != self._servers.chosen:
            self._drop()  # another thread has found that one silent
            connection = None
        if connection is None:
            connection = self._take_spare()
        if connection is None:
            told = self._servers.find()
            self._threads.server = str(told.get("id"))
            url = urlsplit(told["url"])
            if url.scheme == "https":
                connection = http.client.HTTPSConnection(
                    url.hostname or "", url.port, timeout=10, context=ssl.create_default_context()
                )
            else:
                connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
            connection.connect()
            self._threads.connection = connection
            self._threads.prefix = url.path.rstrip("/")
        return connection

    def _take_spare(self) -> http.client.HTTPConnection | None:
        with suppress(IndexError):
            while True:
                spare = self._spare.pop()
                if spare.server == self._servers.chosen and time.monotonic() - spare.since < _SPARE_S:
                    self._threads.server, self._threads.prefix = spare.server, spare.prefix
                    self._threads.connection = spare.connection
                    return spare.connection
                spare.connection.close()
        return None

    def _prefix(self) -> str:
        return self._threads.prefix

    def _lose(self) -> None:
        """The server does not answer as it should: the next call is another's, where there is another."""
        self._drop()
        self._servers.pass_over(getattr(self._threads, "server", ""))

    def _drop(self) -> None:
        connection = getattr(self._threads, "connection", None)
        if connection is not None:
            self._threads.connection = None
            connection.close()


def _understood(answer: bytes, shape: type[T]) -> T:
    """Raises Unavailable when it is no answer of ours: whoever has the port now is not the server."""
    try:
        return msgspec.json.decode(answer, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _away(f"The server's answer is not understood: {error}.") from error


def persistently(call: Callable[[], T], stop: threading.Event, at_most_s: float = 1.0) -> T:
    """`call` until the server is there: at once, then soon, then each `at_most_s`. Raises Stopped when `stop` is set
    meanwhile; other failures pass through."""
    delay = 0.02
    while True:
        if stop.is_set():
            raise Stopped
        try:
            return call()
        except Unavailable:
            stop.wait(delay)
            delay = min(delay * 1.6, at_most_s)


def sentence(error: Exception) -> str:
    return error.message if isinstance(error, MayflyError) else f"{type(error).__name__}: {error}"


def _batches(sized: Iterable[tuple[Digest, int]]) -> Iterator[list[Digest]]:
    batch: list[Digest] = []
    total = 0
    for digest, size in sized:
        if batch and (len(batch) >= _BATCH_FILES or total + size > _BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(digest)
        total += size
    if batch:
        yield batch


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(1 << 20)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("AnswerBroken", f"The server's answer broke off: {error}.") from error
        if not chunk:
            return
        yield chunk


def _file_chunks(path: str, size: int) -> Iterator[bytes]:
    """The first `size` bytes: one that grows meanwhile is sent as it was hashed."""
    try:
        with open(path, "rb") as file:
            while size > 0 and (chunk := file.read(min(size, 1 << 20))):
                size -= len(chunk)
                yield chunk
    except OSError as error:
        raise Invalid("FileUnreadable", f"'{path}' cannot be read any more: {error.strerror or error}.") from error


def _problem(words: str) -> dict[str, Any]:
    """A problem document's head; {} when this is none."""
    try:
        found = json.loads(words)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_quietly(response: http.client.HTTPResponse) -> str:
    try:
        return response.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
