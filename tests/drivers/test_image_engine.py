from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
