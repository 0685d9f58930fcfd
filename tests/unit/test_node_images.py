"""What is made of an image's files before a job sees them."""

from __future__ import annotations

import os
from pathlib import Path

from mayfly.node.images import prepare, shell


def test_an_image_leads_nowhere_outside_of_itself(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "hosts").write_text("the machine's own", encoding="utf-8")
    root = tmp_path / "root"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "sh").write_text("", encoding="utf-8")
    (root / "bin").symlink_to("/usr/bin")
    (root / "var").symlink_to(outside)
    (root / "etc").symlink_to(outside)
    (root / "secret").write_text("x", encoding="utf-8")
    (root / "secret").chmod(0o600)
    os.mkfifo(root / "pipe")
    prepare(root, is_open=True)
    assert sorted(one.name for one in outside.iterdir()) == ["hosts"]
    assert (outside / "hosts").read_text(encoding="utf-8") == "the machine's own"
    assert (root / "etc" / "hosts").read_text(encoding="utf-8") == ""
    assert not (root / "pipe").exists()
    assert (root / "secret").stat().st_mode & 0o777 == 0o666
    assert shell(root) == "/bin/sh"
