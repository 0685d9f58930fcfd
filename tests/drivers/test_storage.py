"""Storage elsewhere: a folder, a real S3 server, and web servers of every temper."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from mayfly.drivers.storage import AnyStorage
from mayfly.kit.errors import Conflict, Forbidden, Invalid, MayflyError, NotFound, Unavailable
from mayfly.ports.storage import Place
from mayfly.testing.storage import StorageContract


@pytest.fixture
def storage() -> Iterator[AnyStorage]:
    found = AnyStorage()
    yield found
    found.close()


class TestFolder(StorageContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        (tmp_path / "a folder").mkdir()
        return Place(f"file://{tmp_path}/a folder")

    def test_links_out_of_it_are_not_there(self, storage: AnyStorage, place: Place, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"not yours")
        (tmp_path / "a folder" / "link").symlink_to(tmp_path / "secret")
        (tmp_path / "a folder" / "up").symlink_to(tmp_path)
        assert list(storage.list(place)) == []
        for path in ("link", "up/secret", "../secret"):
            with pytest.raises(MayflyError):
                list(storage.read(place, path))
            with pytest.raises(MayflyError):
                storage.write(place, path, [b"x"])
        assert (tmp_path / "secret").read_bytes() == b"not yours"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestS3(StorageContract):
    @pytest.fixture
    def place(self, s3: str, request: pytest.FixtureRequest) -> Place:
        bucket = f"b{abs(hash(request.node.name)) % 10**9}"
        keys = {"access_key_id": "testing", "secret_access_key": "a-secret-key", "endpoint": s3}
        boto3.client(
            "s3", endpoint_url=s3, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="x"
        ).create_bucket(Bucket=bucket)
        return Place(f"s3://{bucket}/some/where", keys)

    def test_a_bucket_that_is_not_there(self, storage: AnyStorage, place: Place) -> None:
        with pytest.raises(NotFound):
            storage.is_file(Place("s3://no-such-bucket/x", place.credentials))

    def test_no_message_holds_the_key(self, storage: AnyStorage, place: Place) -> None:
        dead = {**place.credentials, "endpoint": "http://127.0.0.1:9"}
        with pytest.raises(Unavailable) as caught:
            storage.is_file(Place("s3://bucket/x", dead))
        assert caught.value.code == "StorageUnreachable"
        told = f"{caught.value} {caught.value.__cause__!r} {Place('s3://b', dead)!r}"
        assert "a-secret-key" not in told


# --- the web ----------------------------------------------------------------------------------------------------------

DATA = bytes(range(256)) * 4096  # 1 MiB


class Web:
    """One file at any path; how it is given is the temper of the path's first part."""

    def __init__(self) -> None:
        web = self
        self.asked: list[str] = []
        self.data = DATA
        self.etag = '"one"'

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                web.answer(self, self.path.split("/")[1])

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, call: http.server.BaseHTTPRequestHandler, temper: str) -> None:
        asked = call.headers.get("Range", "")
        self.asked.append(asked)
        if temper.isdecimal():
            call.send_response(int(temper))
            if temper.startswith("3"):
                call.send_header("Location", call.path.removeprefix(f"/{temper}/to/"))
            return self._end(call, b"")
        ranged = asked.startswith("bytes=") and temper != "whole"
        first, last = 0, len(self.data) - 1
        if ranged:
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(last, int(end)) if end else last
            if first > last:
                call.send_response(416)
                return self._end(call, b"")
        call.send_response(206 if ranged else 200)
        if ranged:
            call.send_header("Content-Range", f"bytes {first}-{last}/{len(self.data)}")
        return self._end(call, self.data[first : last + 1], temper)

    def _end(self, call: http.server.BaseHTTPRequestHandler, body: bytes, temper: str = "") -> None:
        if temper == "silent":
            call.close_connection = True
        else:
            call.send_header("Content-Length", str(len(body)))
            call.send_header("ETag", self.etag)
        call.end_headers()
        most = {"dying": 200_000, "dead": 0}.get(temper, len(body))
        if most < len(body) and len(body) > 1:
            body, call.close_connection = body[:most], True
        call.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    found = Web()
    yield found
    found.close()


@pytest.mark.parametrize("temper", ["good", "dying", "whole", "silent"])
@pytest.mark.parametrize(("offset", "length"), [(0, None), (700_000, None), (300_000, 500_000), (5, 1)])
def test_a_file_comes_whole_from_any_server(
    storage: AnyStorage, web: Web, temper: str, offset: int, length: int | None
) -> None:
    place = Place(f"{web.url}/{temper}/iris%20data.csv")
    assert storage.is_file(place)
    (entry,) = storage.list(place)
    assert (entry.path, entry.size) == ("iris data.csv", len(DATA))
    wanted = DATA[offset:] if length is None else DATA[offset : offset + length]
    assert b"".join(storage.read(place, entry.path, offset, length, entry.version)) == wanted


def test_a_range_moves_only_its_bytes(storage: AnyStorage, web: Web) -> None:
    list(storage.read(Place(f"{web.url}/good/x"), "x", 10, 20))
    assert web.asked == ["bytes=10-29"]


def test_one_that_dies_for_good_is_given_up(storage: AnyStorage, web: Web) -> None:
    with pytest.raises(Unavailable) as caught:
        list(storage.read(Place(f"{web.url}/dead/x"), "x"))
    assert caught.value.code == "StorageUnreachable"
    assert "byte 0" in caught.value.message


def test_one_that_changes_half_way_is_not_mixed(storage: AnyStorage, web: Web) -> None:
    place = Place(f"{web.url}/dying/x")
    (entry,) = storage.list(place)
    reading = storage.read(place, "x", version=entry.version)
    got = next(reading)
    web.etag, web.data = '"two"', b"!" * len(DATA)
    with pytest.raises(Conflict) as caught:
        for chunk in reading:
            got += chunk
    assert caught.value.code == "DataChanged"
    assert DATA.startswith(got)


def test_an_empty_file_is_one(storage: AnyStorage, web: Web) -> None:
    web.data = b""
    (entry,) = storage.list(Place(f"{web.url}/good/empty.txt"))
    assert entry.size == 0
    assert b"".join(storage.read(Place(f"{web.url}/good/empty.txt"), "empty.txt")) == b""


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("404/x", NotFound, "DataNotFound"),
        ("401/x", Forbidden, "DataForbidden"),
        ("403/x?sig=hidden", Forbidden, "DataForbidden"),
        ("500/x", Unavailable, "StorageUnreachable"),
        ("302/to/file:///etc/passwd", Invalid, "AddressInvalid"),
        ("302/to/ftp://x/y", Invalid, "AddressInvalid"),
    ],
)
def test_refusals(storage: AnyStorage, web: Web, path: str, kind: type[MayflyError], code: str) -> None:
    with pytest.raises(kind) as caught:
        storage.is_file(Place(f"{web.url}/{path}"))
    assert caught.value.code == code
    assert "hidden" not in caught.value.message


def test_nobody_there(storage: AnyStorage) -> None:
    with pytest.raises(Unavailable) as caught:
        storage.is_file(Place("http://127.0.0.1:9/x"))
    assert caught.value.code == "StorageUnreachable"
