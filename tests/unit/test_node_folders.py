"""Where a node's folders lie on the disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mayfly.node.folders import keep_apart


def test_folders_of_attempts_are_kept_apart_where_the_file_system_can(tmp_path: Path) -> None:
    keep_apart(tmp_path)
    keep_apart(tmp_path)
    (tmp_path / "one").mkdir()
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=False)
    if kind.stdout.strip() != "ext2/ext3":
        pytest.skip("the file system knows no such thing, and nothing is wrong with that")
    told = subprocess.run(["lsattr", "-d", str(tmp_path)], capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip(f"lsattr says nothing here: {told.stderr.strip()}")
    assert "T" in told.stdout.split()[0]
