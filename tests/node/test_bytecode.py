"""Environments are compiled in the background, also where others leave no time for it."""

from __future__ import annotations

import sys
from pathlib import Path

from mayfly.node.bytecode import Bytecode
from mayfly.testing.nodes import until


def test_who_gave_way_for_long_enough_goes_on_more_firmly(tmp_path: Path) -> None:
    root = tmp_path / "env"
    (root / "lib").mkdir(parents=True)
    (root / "lib" / "module.py").write_text("value = 1\n")
    bytecode = Bytecode(((19, 0.001), (5, None)))
    bytecode.later(root, sys.executable)
    until(lambda: (tmp_path / "env.compiled").exists())
    assert list((root / "lib").rglob("module.*.pyc"))
    bytecode.close()
