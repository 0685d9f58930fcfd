from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mayfly.drivers.image_engine import CommandLineEngine

ENGINE = """#!/bin/sh
[ "$1" = info ] && { echo amd64; exit; }
echo "$@" >> "$HOME/asked"
sleep 0.3
echo '[{"Id": "sha256:12", "Config": {"Env": ["A=1"]}}]'
"""


def test_those_who_ask_for_an_image_at_once_share_the_answer(tmp_path: Path) -> None:
    program = tmp_path / "engine"
    program.write_text(ENGINE, encoding="utf-8")
    program.chmod(0o755)
    engine = CommandLineEngine(str(program), {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    with ThreadPoolExecutor(8) as threads:
        found = set(map(repr, threads.map(engine.find, ["ours/train:1"] * 8)))
    assert len(found) == 1 and "'A': '1'" in found.pop()
    assert (tmp_path / "asked").read_text(encoding="utf-8").splitlines() == ["image inspect ours/train:1"]


PODMAN = """#!/bin/sh
case "$*" in
  "info --format json") echo "{\\"host\\": {\\"serviceIsRemote\\": $REMOTE}, \\"store\\": {\\"graphRoot\\": \\"$HOME\\",
    \\"graphDriverName\\": \\"overlay\\", \\"graphOptions\\": {}}}"; exit;;
  info*) echo amd64; exit;;
esac
echo "$@" >> "$HOME/asked"
echo "[{\\"Id\\": \\"sha256:$(cat "$HOME/overlay-images/images.json")\\"}]"
"""


@pytest.mark.parametrize("remote", ["false", "true"])
def test_an_answer_stays_while_no_image_comes_or_goes(tmp_path: Path, remote: str) -> None:
    """Where podman's own list says so; another machine's list is not looked at."""
    program, listed = tmp_path / "podman", tmp_path / "overlay-images" / "images.json"
    program.write_text(PODMAN.replace("$REMOTE", remote), encoding="utf-8")
    program.chmod(0o755)
    listed.parent.mkdir()
    listed.write_text("1", encoding="utf-8")
    now = [0.0]
    engine = CommandLineEngine(str(program), {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, lambda: now[0])
    assert [_found(engine) for now[0] in (0.0, 0.5, 30.0)] == ["1"] * 3
    listed.write_text("22", encoding="utf-8")
    assert [_found(engine) for now[0] in (30.5, 59.0)] == (["22", "22"] if remote == "false" else ["1", "22"])
    assert len((tmp_path / "asked").read_text(encoding="utf-8").splitlines()) == (2 if remote == "false" else 3)
    now[0] = 91.0
    assert _found(engine) == "22"
    assert len((tmp_path / "asked").read_text(encoding="utf-8").splitlines()) == (3 if remote == "false" else 4)


def _found(engine: CommandLineEngine) -> str:
    image = engine.find("ours/train:1")
    assert image is not None
    return image.id
