"""Cached environments, and the private layer of each job."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mayfly.drivers.node_cache import NodeCache
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Broken
from mayfly.node import sandbox
from mayfly.node.environments import Environments
from mayfly.testing.nodes import Nodes, assignment, until
from mayfly.testing.wheels import offline, pinned, plan, wheel
from mayfly.wire import agent as wire


class Index:
    """A package index that holds a file back until it is let go."""

    def __init__(self, folder: Path, held: str) -> None:
        go = self.go = threading.Event()

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *parts: Any) -> None:
                super().__init__(*parts, directory=str(folder))

            def do_GET(self) -> None:
                if self.path.endswith(held):
                    go.wait(60)
                super().do_GET()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/"

    def __enter__(self) -> Index:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._http.shutdown()
        self._http.server_close()


LAYERS = (("namespaces", ""), ("bubblewrap", "namespaces"), ("none above", "overlay"))


@pytest.mark.parametrize(("way", "without"), LAYERS)
def test_a_job_changes_its_own_packages_only(nodes: Nodes, tmp_path: Path, way: str, without: str) -> None:
    old = wheel(tmp_path / "wheels", "tinything", "1.0")
    new = wheel(tmp_path / "new", "tinything", "2.0")
    lock = f"tinything==1.0 --hash=sha256:{hashlib.sha256(old.read_bytes()).hexdigest()}\n"
    if not sandbox.probe(forbidden=without.split(), cache=tmp_path).overlays and way != "none above":
        pytest.skip(f"no overlays can be mounted here with {way}")
    node = nodes.start(MAYFLY_SANDBOX_WITHOUT=without, **offline(tmp_path / "wheels"))
    code = nodes.server.add_tree({new.name: new.read_bytes()})
    show = "python -c 'import tinything; print(tinything.VERSION, tinything.__file__)'; tinything"
    command = f"{show}; python -m pip install -q --no-index -U ./{new.name}; {show}"
    nodes.server.assign(node, assignment("changes", command, code=code, environment=plan(lock)))
    collected = nodes.server.fact(wire.Collected, "changes", timeout_s=40)
    lines = nodes.server.log("changes").splitlines()
    assert lines[0].startswith("1.0 ") and "/environments/" in lines[0]
    assert lines[1] == "script of 1.0"
    place = "/venv/" if way == "none above" else "/environments/"
    assert any(line.startswith("2.0 ") and place in line for line in lines), lines
    assert lines[-1] == "script of 2.0"
    assert "tinything" in nodes.server.log("changes", "user_logs/build_log.txt")
    assert "user_logs/build_log.txt" in nodes.server.output(collected)
    nodes.server.assign(node, assignment("later", show, environment=plan(lock)))
    nodes.server.fact(wire.Collected, "later")
    assert nodes.server.log("later").splitlines()[0].startswith("1.0 ")
    assert nodes.server.log("later").splitlines()[1] == "script of 1.0"
    assert not nodes.server.log("later", "user_logs/build_log.txt")  # from the cache
    if way == "none above":
        return
    gone = "pip uninstall -q -y tinything; python -c 'import tinything' 2>/dev/null || echo gone"
    write = "echo '#' >> $VIRTUAL_ENV/pyvenv.cfg || echo kept; cat /proc/mounts | grep -c ' overlay '"
    nodes.server.assign(node, assignment("removes", f"{gone}; {write}", environment=plan(lock)))
    nodes.server.fact(wire.Collected, "removes")
    assert nodes.server.log("removes").splitlines()[0] == "gone", nodes.server.log("removes")
    nodes.server.assign(node, assignment("last", show, environment=plan(lock)))
    nodes.server.fact(wire.Collected, "last")
    assert nodes.server.log("last").splitlines()[1] == "script of 1.0"
    assert "/environments/" not in Path("/proc/mounts").read_text(encoding="utf-8")


def test_a_build_tells_how_far_it_is(nodes: Nodes, tmp_path: Path) -> None:
    wheels = [wheel(tmp_path / "wheels", name, "1.0") for name in ("one", "two", "three")]

    def told() -> list[str]:
        return [one.detail for one in nodes.server.facts(wire.PhaseEntered, "j") if one.phase == "environment"]

    with Index(tmp_path / "wheels", wheels[1].name) as index:
        settings = offline(tmp_path / "wheels") | {"UV_FIND_LINKS": index.url, "UV_CACHE_DIR": str(tmp_path / "uv")}
        node = nodes.start(**settings)
        nodes.server.assign(node, assignment("j", "python -c 'import one, two'", environment=plan(pinned(*wheels))))
        nodes.server.wait(lambda: "2 of 3 packages" in told(), 40)
        said = nodes.server.wait(lambda: nodes.server.log("j", "user_logs/build_log.txt").splitlines(), 40)
        assert not nodes.server.facts(wire.Ready, "j")
        index.go.set()
        nodes.server.fact(wire.Collected, "j", timeout_s=40)
    assert nodes.server.wait(lambda: told()[-1] == "3 of 3 packages")
    assert "3 of 3 packages" not in said
    assert "2 of 3 packages" in nodes.server.log("j", "user_logs/build_log.txt").splitlines()


def test_what_an_attempt_uses_is_not_pruned(nodes: Nodes, tmp_path: Path) -> None:
    one, two = (wheel(tmp_path / "wheels", name, "1.0") for name in ("one", "two"))
    node = nodes.start(**offline(tmp_path / "wheels"))
    code = nodes.server.add_tree({"wait.sh": b"until [ -e outputs/go ]; do sleep 0.05; done"})
    nodes.server.assign(node, assignment("used", "sh wait.sh", code=code, environment=plan(pinned(one))))
    nodes.server.fact(wire.Started, "used", timeout_s=40)
    nodes.server.assign(node, assignment("over", "true", environment=plan(pinned(two))))
    nodes.server.fact(wire.Collected, "over", timeout_s=40)
    nodes.server.discard("over")
    nodes.server.fact(wire.Released, "over")
    places = nodes.state / "cache" / "environments"
    caches = NodeCache(nodes.state / "cache", nodes.state / "nodes")
    later = Millis(int((time.time() + 60) * 1000))
    # its bytecode is compiled in the background, and meanwhile it stays
    found = until(lambda: (done := caches.prune(later, set(), dry_run=False)).environments and done)
    assert (found.trees, found.kept) == (0, 2)
    assert [place.name.removesuffix("-open") for place in places.iterdir() if place.is_dir()] == [
        plan(pinned(one)).digest
    ]
    (nodes.folder(node) / "attempts" / "used-1" / "code" / "outputs" / "go").touch()
    nodes.server.fact(wire.Collected, "used")
    nodes.server.discard("used")
    nodes.server.fact(wire.Released, "used")
    assert until(lambda: caches.prune(later, set(), dry_run=False).environments == 1 or not list(places.glob("*/")))
    nodes.server.assign(node, assignment("again", "python -c 'import one'", environment=plan(pinned(one))))
    assert nodes.server.fact(wire.Exited, "again", timeout_s=40).exits[0].code == 0


def test_a_build_that_fails_says_why(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    node = nodes.start(**offline(tmp_path / "wheels"))
    lock = f"nosuchthing==1.0 --hash=sha256:{'0' * 64}\n"
    nodes.server.assign(node, assignment("j", "true", environment=plan(lock)))
    failed = nodes.server.fact(wire.PreparationFailed, "j", timeout_s=40)
    assert failed.code == "EnvironmentPackageGone"
    assert ": nosuchthing, which" in failed.message and "environment build" in failed.remedy
    assert "nosuchthing" in nodes.server.log("j", "user_logs/build_log.txt")
    nodes.server.discard("j")
    nodes.server.fact(wire.Released, "j")
    left = [place.name for place in (nodes.state / "cache" / "environments").iterdir() if place.is_dir()]
    assert left == []


@pytest.mark.parametrize(
    ("vanished", "code", "said"),
    [
        ("the version", "EnvironmentPackageGone", ": tinything==1.0, which"),
        ("the file", "EnvironmentPackageGone", ": tinything==1.0, which"),
        ("its bytes", "EnvironmentPackageGone", ": tinything==1.0, which"),
        ("the index", "EnvironmentBuildFailed", "sending request"),
    ],
)
def test_what_has_vanished_since_the_lock_is_named(tmp_path: Path, vanished: str, code: str, said: str) -> None:
    place = wheel(tmp_path / "wheels", "tinything", "1.0")
    lock = pinned(place)
    with Index(tmp_path / "wheels", "nothing") as index:
        if vanished == "the version":
            place.unlink()
            wheel(tmp_path / "wheels", "tinything", "2.0")
        elif vanished == "the file":
            (tmp_path / "wheels" / "index.html").write_text(f'<a href="{place.name}">{place.name}</a>')
            place.unlink()
        elif vanished == "its bytes":
            with zipfile.ZipFile(place, "a") as archive:
                archive.writestr("more.py", "")
        url = "http://127.0.0.1:9/" if vanished == "the index" else index.url
        settings = {"PATH": os.environ["PATH"], "UV_HTTP_RETRIES": "0", **offline(tmp_path)}
        environments = Environments(tmp_path / "cache", {**settings, "UV_FIND_LINKS": url})
        with pytest.raises(Broken) as failed:
            environments.build(plan(lock), tmp_path / "log", lambda _tool: None)
    assert (failed.value.code, said in failed.value.message) == (code, True), failed.value.message
