"""A scripted server for one node: speaks the agent protocol, keeps what it is told, wishes what a test says."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from mayfly.transfer import packs, trees
from mayfly.wire import agent as wire
from mayfly.wire.agent import AnyReport, Assignment, Fence, Go, Peer, Wish, Wishes


@dataclass
class Outside:
    """What lies elsewhere, and how it behaves."""

    files: dict[str, bytes | int]
    """Path → its bytes, or the size of one that is made up as it is read."""
    version: str = "v1"
    cut_after: int = 0
    """Not 0: an answer breaks off after so many bytes, `cuts` times."""
    cuts: int = 0
    refusal: tuple[int, dict[str, Any]] | None = None
    """Not None: what `/data/read` answers."""
    changed: bool = False
    pace_s: float = 0.0
    """Before each answer."""
    asked: int = 0
    """How often it was listed."""
    moved: int = 0
    reads: list[tuple[str, int, int]] = field(default_factory=list)

    def bytes_of(self, path: str, offset: int, length: int) -> bytes:
        found = self.files[path]
        if isinstance(found, bytes):
            return found[offset : offset + length]
        length = max(0, min(length, found - offset))
        first = offset // 8
        words = array("Q", range(first, (offset + length) // 8 + 1)).tobytes()
        return words[offset - first * 8 :][:length]


class AgentServer:
    """Grants every rank of a job its start when all are ready. `stop` and `start` may be repeated; each start takes
    another port and writes it to `server_file`."""

    def __init__(self, server_file: Path) -> None:
        self.server_file = server_file
        self.changed = threading.Condition()
        self.version = 0
        self.node_wish = "keep"
        self.unknown = False
        self.orphan_s: float | None = None
        self.wishes: dict[tuple[str, int, int], Wish] = {}
        """(job, attempt, rank) → what is wished; which node it is for stands in `homes`."""
        self.homes: dict[tuple[str, int, int], str] = {}
        self.reports: list[AnyReport] = []
        self.hellos: list[wire.Hello] = []
        self.logs: dict[tuple[str, int, int, str], bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.journals: dict[tuple[str, int, int], bytes] = {}
        self.tracked: list[tuple[str, str, str, bytes]] = []
        """(method, path, attempt header, body) of calls at the tracking door."""
        self.data: dict[str, Outside] = {}
        """Input name, or an address that an MLTable names → what lies there."""
        self.published: list[wire.Publish] = []
        self.publishing: tuple[int, dict[str, Any]] = (200, {})
        """How `/outputs/publish` answers."""
        self.closed: set[str] = set()
        """Doors that answer nothing but that the server is busy."""
        self.granting = True
        """Whether a start is granted to those who are ready."""
        self.calls: Counter[str] = Counter()
        """Of its doors, but for contents, which go by their name."""
        self.asked = 0
        """How often a node has asked what is wished."""
        self._http: ThreadingHTTPServer | None = None

    # --- what a test does ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"server_of": self})
        http = self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        http.daemon_threads = True
        http.block_on_close = False
        self.server_file.parent.mkdir(exist_ok=True)
        part = self.server_file.with_suffix(".part")
        told = {"id": self.server_file.stem, "url": f"http://127.0.0.1:{http.server_address[1]}"}
        part.write_text(json.dumps(told), encoding="utf-8")
        part.replace(self.server_file)
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        http, self._http = self._http, None
        if http is not None:
            http.shutdown()
            http.server_close()
        with self.changed:
            self.changed.notify_all()

    @property
    def up(self) -> bool:
        return self._http is not None

    @property
    def current(self) -> ThreadingHTTPServer | None:
        """The one that answers; connections of an earlier one are dead."""
        return self._http

    def assign(self, node: str, assignment: Assignment) -> None:
        self._wish(node, Wish(fence=assignment.fence, action="prepare", assignment=assignment), assignment.rank)

    def stop_attempt(self, job: str, attempt: int = 1, rank: int = 0, reason: str = "cancel") -> None:
        old = self.wishes[job, attempt, rank]
        self._wish(
            self.homes[job, attempt, rank],
            Wish(fence=old.fence, action="stop", assignment=old.assignment, go=old.go, stop_reason=reason),
            rank,
        )

    def discard(self, job: str, attempt: int = 1, rank: int = 0) -> None:
        old = self.wishes[job, attempt, rank]
        self._wish(self.homes[job, attempt, rank], Wish(fence=old.fence, action="discard"), rank)

    def grant(self, job: str, attempt: int = 1) -> None:
        """What `granting` held back."""
        with self.changed:
            for fence in {wish.fence for key, wish in self.wishes.items() if key[:2] == (job, attempt)}:
                self._grant(fence)

    def wish_node(self, wish: str) -> None:
        with self.changed:
            self.node_wish = wish
            self._bump()

    def add_tree(self, files: dict[str, bytes], executable: tuple[str, ...] = ()) -> str:
        """Its digest."""
        entries = []
        for path, data in sorted(files.items()):
            digest = hashlib.sha256(data).hexdigest()
            self.blobs[digest] = data
            entries.append(wire.TreeEntry(path=path, digest=digest, size=len(data), executable=path in executable))
        tree = wire.Tree(entries=tuple(entries))
        digest = trees.digest_of(tree)
        self.blobs[digest] = trees.canonical(tree)
        return digest

    def wait(self, condition: Callable[[], Any], timeout_s: float = 20.0, what: str = "") -> Any:
        """Until the condition holds; its value. It is looked at whenever something arrives. A machine that others starve
        gets five times as long."""
        deadline = time.monotonic() + 5 * timeout_s
        with self.changed:
            while not (value := condition()):
                left = deadline - time.monotonic()
                if left <= 0:
                    told = [(type(r).__name__, r.fence.job) for r in self.reports if not isinstance(r, wire.Sample)]
                    raise AssertionError(f"{what or 'the condition'} did not come true; reports: {told}")
                self.changed.wait(min(left, 0.05))
        return value

    def facts(self, kind: type, job: str, rank: int = 0) -> list[Any]:
        return [r for r in self.reports if isinstance(r, kind) and r.fence.job == job and r.rank == rank]

    def fact(self, kind: type, job: str, rank: int = 0, timeout_s: float = 20.0) -> Any:
        """The first of its kind, waited for."""
        return self.wait(lambda: self.facts(kind, job, rank), timeout_s, f"{kind.__name__} of {job}/{rank}")[0]

    def log(self, job: str, file: str = "user_logs/std_log.txt", attempt: int = 1, rank: int = 0) -> str:
        return self.logs.get((job, attempt, rank, file), b"").decode()

    def output(self, collected: wire.Collected, name: str = "default") -> dict[str, bytes]:
        """The files of a collected output."""
        digest = next(output.tree for output in collected.outputs if output.name == name)
        return {entry.path: self.blobs[entry.digest] for entry in trees.decode(self.blobs[digest]).entries}

    # --- what a node says ---------------------------------------------------------------------------------------------

    def answer(self, node: str) -> Wishes:
        if self.unknown:
            return Wishes(version=self.version, unknown=True)
        mine = tuple(wish for key, wish in self.wishes.items() if self.homes[key] == node)
        return Wishes(version=self.version, node=self.node_wish, attempts=mine)

    def hear(self, body: wire.Reports) -> Wishes:
        with self.changed:
            for report in body.reports:
                self.reports.append(report)
                if isinstance(report, wire.Ready):
                    self._grant(report.fence)
            self.changed.notify_all()
            return self.answer(body.node)

    def long_poll(self, ask: wire.WishesAsk) -> Wishes:
        deadline = time.monotonic() + ask.wait_s
        with self.changed:
            self.asked += 1
            while self.version <= ask.seen and self.up and time.monotonic() < deadline:
                self.changed.wait(deadline - time.monotonic())
            return self.answer(ask.node)

    def append_log(self, query: dict[str, list[str]], data: bytes) -> int:
        key = (query["job"][0], int(query["attempt"][0]), int(query["rank"][0]), query["file"][0])
        offset = int(query["offset"][0])
        with self.changed:
            have = self.logs.get(key, b"")
            if offset <= len(have):
                have += data[len(have) - offset :]
                self.logs[key] = have
            self.changed.notify_all()
            return len(have)

    def append_journal(self, query: dict[str, list[str]], data: bytes) -> int:
        key = (query["job"][0], int(query["attempt"][0]), int(query["rank"][0]))
        offset = int(query["offset"][0])
        with self.changed:
            have = self.journals.get(key, b"")
            if offset <= len(have):
                have += data[len(have) - offset :]
                self.journals[key] = have
            self.changed.notify_all()
            return len(have)

    def _grant(self, fence: Fence) -> None:
        keys = [key for key in self.wishes if key[:2] == (fence.job, fence.attempt)]
        assignment = next((self.wishes[key].assignment for key in keys if self.wishes[key].assignment), None)
        if assignment is None or any(self.wishes[key].action != "prepare" for key in keys):
            return
        ready = {r.rank: r for r in self.reports if isinstance(r, wire.Ready) and r.fence == fence}
        if set(ready) != set(range(assignment.node_count)) or not self.granting:
            return
        go = Go(peers=tuple(Peer(address=r.address, ports=r.ports) for _, r in sorted(ready.items())))
        for key in keys:
            old = self.wishes[key]
            self.wishes[key] = Wish(fence=fence, action="run", assignment=old.assignment, go=go)
        self._bump()

    def _wish(self, node: str, wish: Wish, rank: int) -> None:
        with self.changed:
            key = (wish.fence.job, wish.fence.attempt, rank)
            self.wishes[key] = wish
            self.homes[key] = node
            self._bump()

    def _bump(self) -> None:
        self.version += 1
        self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    server_of: ClassVar[AgentServer]
    cut = 0
    """Not 0: the length that an answer promises and does not have."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _any(self) -> None:
        mine = self.server_of
        if mine.current is not self.server:
            self.close_connection = True
            return
        body = self._body()
        url = urlsplit(self.path)
        door = url.path.removeprefix("/agent/v1")
        mine.calls[door.partition("/trees/")[0]] += 1
        status, answer = self._answer(mine, door, parse_qs(url.query), body)
        if mine.current is not self.server:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(self.cut or len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        if self.cut:
            self.close_connection, self.cut = True, 0

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, mine: AgentServer, door: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        encode, decode = msgspec.json.encode, msgspec.json.decode
        if door in mine.closed:
            return 503, b"{}"
        if door == "/hello":
            hello = decode(body, type=wire.Hello)
            with mine.changed:
                mine.hellos.append(hello)
                mine.changed.notify_all()
            return 200, encode(wire.Welcome(protocol=1, epoch=1, heartbeat_s=2.0, orphan_s=mine.orphan_s))
        if door == "/wishes":
            return 200, encode(mine.long_poll(decode(body, type=wire.WishesAsk)))
        if door == "/reports":
            return 200, encode(mine.hear(decode(body, type=wire.Reports)))
        if door == "/tracking":
            return 200, encode(wire.JournalAck(offset=mine.append_journal(query, body)))
        if door == "/logs":
            return 200, encode(wire.LogAck(offset=mine.append_log(query, body)))
        if door.startswith("/mlflow/"):
            with mine.changed:
                mine.tracked.append((self.command, door, self.headers.get("Mayfly-Attempt", ""), body))
                mine.changed.notify_all()
            return 200, b'{"tracked": true}'
        if door == "/outputs/publish":
            with mine.changed:
                mine.published.append(decode(body, type=wire.Publish))
                mine.changed.notify_all()
            return mine.publishing[0], encode(mine.publishing[1])
        if door.startswith("/data/"):
            return self._data(mine, door, {name: values[-1] for name, values in query.items()}, body)
        return self._content(mine, door, body)

    def _data(self, mine: AgentServer, door: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        encode = msgspec.json.encode
        if door == "/data/list":
            ask = msgspec.json.decode(body, type=wire.DataAsk)
            found = mine.data.get(ask.address or ask.input)
            if found is None:
                problem = {"code": "DataNotFound", "message": f"Nothing is at {ask.address or ask.input}."}
                return 404, encode({"error": problem})
            found.asked += 1
            sizes = {path: one if isinstance(one, int) else len(one) for path, one in found.files.items()}
            entries = [wire.DataEntry(path=p, size=size, version=found.version) for p, size in sorted(sizes.items())]
            return 200, encode(wire.DataListing(entries=tuple(entries)))
        found = mine.data[query.get("address") or query["input"]]
        time.sleep(found.pace_s)
        if found.refusal is not None:
            return found.refusal[0], encode(found.refusal[1])
        if found.changed or query["version"] != found.version:
            return 409, encode({"error": {"code": "DataChanged", "message": f"'{query['path']}' has changed."}})
        offset, length = int(query["offset"]), int(query["length"])
        with mine.changed:
            found.reads.append((query["path"], offset, length))
        data = found.bytes_of(query["path"], offset, length)
        if found.cuts and len(data) > found.cut_after:
            found.cuts -= 1
            self.cut = len(data)
            data = data[: found.cut_after]
        with mine.changed:
            found.moved += len(data)
            mine.changed.notify_all()
        return 200, data

    def _content(self, mine: AgentServer, door: str, body: bytes) -> tuple[int, bytes]:
        if door.startswith("/content/trees/"):
            digest = door.rsplit("/", 1)[1]
            if self.command == "PUT":
                mine.blobs[digest] = trees.canonical(trees.decode(body))
                return 200, b"{}"
            return (200, mine.blobs[digest]) if digest in mine.blobs else (404, b"{}")
        if door == "/content/missing":
            wanted = json.loads(body)["digests"]
            return 200, json.dumps({"missing": [digest for digest in wanted if digest not in mine.blobs]}).encode()
        if door == "/content/fetch":
            wanted = json.loads(body)["digests"]
            return 200, b"".join(packs.write((d, len(mine.blobs[d]), [mine.blobs[d]]) for d in wanted))
        if door == "/content/blobs":
            stored = {digest: b"".join(chunks) for digest, _, chunks in packs.read([body])}
            mine.blobs.update({str(digest): data for digest, data in stored.items()})
            return 200, json.dumps({"stored": len(stored)}).encode()
        return 404, b"{}"
