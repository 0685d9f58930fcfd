"""`mayfly doctor`: it names the first fault with its remedy, needs no server and starts none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cli_runner import WallClock

from mayfly.cli import app

Doctor = Callable[..., tuple[int, dict[str, Any]]]
LONG_AGO = "Mon, 01 Jan 2024 00:00:00 GMT"


class _Index(BaseHTTPRequestHandler):
    """A package index; `/404/…` has nothing, `/late/…` has another clock."""

    def do_GET(self) -> None:
        self.send_response_only(404 if "/404/" in self.path else 200)
        self.send_header("Date", LONG_AGO if "/late/" in self.path else self.date_time_string())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Index)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def doctor(tmp_path: Path, index: str, capsys: pytest.CaptureFixture[str]) -> Doctor:
    def run(path: str = "simple", **environ: str) -> tuple[int, dict[str, Any]]:
        own = {"HOME": str(tmp_path), "MAYFLY_HOME": str(tmp_path / "state"), "PIP_CONFIG_FILE": "/dev/null"}
        own["UV_DEFAULT_INDEX"] = f"{index}/{path}"
        capsys.readouterr()
        status = app.main(
            ["doctor", "-o", "json"], {"PATH": "/usr/bin:/bin", **own, **environ}, WallClock(), lambda: "made_up_name"
        )
        return status, json.loads(capsys.readouterr().out)

    return run


def first(found: dict[str, Any]) -> tuple[str, str, str]:
    fault = found["first_fault"]
    assert fault is not None, found
    return fault["name"], fault["message"], fault["remedy"]


def test_nothing_wrong_is_said_and_nothing_is_started(doctor: Doctor, tmp_path: Path) -> None:
    status, found = doctor()
    assert (status, found["healthy"], found["first_fault"]) == (0, True, None)
    names = [check["name"] for check in found["checks"] if check["state"] != "fault"]
    assert {"interpreter", "package", "versions", "disk", "sandbox", "limits", "package index", "server"} <= set(names)
    assert not (tmp_path / "state").exists()
    assert all(check["remedy"] for check in found["checks"] if check["state"] != "ok")


def test_another_authors_package_of_our_name_is_found(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site" / "mayfly-0.4.2.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: mayfly\nVersion: 0.4.2\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    status, found = doctor()
    name, message, remedy = first(found)
    assert (status, name) == (1, "package")
    assert "0.4.2 of another author" in message
    assert "pip uninstall -y mayfly && " in remedy
    assert "mayfly-ml" in remedy


def test_a_configuration_file_that_cannot_be_read_is_a_fault_with_its_line(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "config.yml").write_text("defaults:\n  workspce: a\n")
    status, found = doctor()
    name, message, remedy = first(found)
    assert (status, name) == (1, "configuration")
    assert "config.yml:2: " in message
    assert "workspace" in remedy


def test_a_state_folder_that_is_none_and_one_that_others_may_read(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state").chmod(0o755)
    _, found = doctor()
    open_to_others = next(check for check in found["checks"] if check["name"] == "state folder")
    assert (open_to_others["state"], open_to_others["remedy"]) == ("warning", f"chmod 700 {tmp_path / 'state'}")
    (tmp_path / "file").touch()
    status, found = doctor(MAYFLY_HOME=str(tmp_path / "file" / "state"))
    assert (status, first(found)[0]) == (1, "state folder")


@pytest.mark.parametrize(
    ("path", "environ", "name", "words"),
    [
        ("404", {}, "package index", "status 404"),
        ("late", {}, "clock", "ahead of 127.0.0.1"),
        ("", {"UV_DEFAULT_INDEX": "http://user:secret@127.0.0.1:1/simple"}, "package index", "cannot be reached"),
        ("", {"SSL_CERT_FILE": "/nowhere/certificates.pem"}, "certificates", "/nowhere/certificates.pem"),
    ],
)
def test_the_network_and_the_clock(doctor: Doctor, path: str, environ: dict[str, str], name: str, words: str) -> None:
    status, found = doctor(path, **environ)
    assert (status, first(found)[0]) == (1, name)
    assert words in first(found)[1]
    assert "secret" not in json.dumps(found)


def test_a_module_that_hides_one_of_ours(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "mayfly.py").touch()
    monkeypatch.chdir(tmp_path / "near")
    status, found = doctor()
    assert (status, first(found)[0]) == (1, "modules")
    assert first(found)[1].endswith("mayfly.py hides Mayfly's own code.")


def test_a_server_elsewhere_that_cannot_be_reached(doctor: Doctor) -> None:
    status, found = doctor(MAYFLY_SERVER="http://127.0.0.1:1", MAYFLY_TOKEN="x")
    assert (status, first(found)[0]) == (1, "server")
    assert first(found)[2]
