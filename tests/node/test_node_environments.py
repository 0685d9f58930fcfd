"""Cached environments, and the private layer of each job."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from mayfly.node import sandbox
from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(folder: Path, version: str) -> Path:
    """A package `tinything` with a console script."""
    folder.mkdir(exist_ok=True)
    place = folder / f"tinything-{version}-py3-none-any.whl"
    info = f"tinything-{version}.dist-info"
    files = {
        "tinything.py": f"VERSION = {version!r}\ndef main():\n    print('script of', VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tinything\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntinything = tinything:main\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    with zipfile.ZipFile(place, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return place


def plan(lock: str) -> wire.EnvironmentPlan:
    digest = hashlib.sha256(lock.encode()).hexdigest()
    return wire.EnvironmentPlan(digest=digest, name="tiny", python=sys.executable, python_version=VERSION, lock=lock)


def offline(folder: Path) -> dict[str, str]:
    return {"UV_FIND_LINKS": str(folder), "UV_NO_INDEX": "1", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}


LAYERS = (("bubblewrap", ""), ("namespaces", "bubblewrap"), ("none above", "overlay"))


@pytest.mark.parametrize(("way", "without"), LAYERS)
def test_a_job_changes_its_own_packages_only(nodes: Nodes, tmp_path: Path, way: str, without: str) -> None:
    old = wheel(tmp_path / "wheels", "1.0")
    new = wheel(tmp_path / "new", "2.0")
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


def test_a_build_that_fails_says_why(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    node = nodes.start(**offline(tmp_path / "wheels"))
    lock = f"nosuchthing==1.0 --hash=sha256:{'0' * 64}\n"
    nodes.server.assign(node, assignment("j", "true", environment=plan(lock)))
    failed = nodes.server.fact(wire.PreparationFailed, "j", timeout_s=40)
    assert failed.code == "EnvironmentBuildFailed"
    assert "nosuchthing" in failed.message
    assert "nosuchthing" in nodes.server.log("j", "user_logs/build_log.txt")
    nodes.server.discard("j")
    nodes.server.fact(wire.Released, "j")
    left = [place.name for place in (nodes.state / "cache" / "environments").iterdir() if place.is_dir()]
    assert left == []
