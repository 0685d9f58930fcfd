"""Folders that are hard to delete."""

from __future__ import annotations

import os
from pathlib import Path

from mayfly.transfer.removal import remove_tree
from mayfly.transfer.trees import DEEPEST, scan


def _deep(folder: Path, levels: int) -> None:
    """Deeper than a path can be long."""
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


def test_thousands_of_levels(tmp_path: Path) -> None:
    _deep(tmp_path / "deep", 3000)
    (tmp_path / "deep" / ".removed-0").mkdir()
    (tmp_path / "deep" / ".removed-1").touch()
    found = scan(tmp_path / "deep", links="skip")
    assert found.lost and str(DEEPEST) in found.lost[0]
    remove_tree(tmp_path / "deep")
    assert not list(tmp_path.iterdir())


def test_links_stay_unfollowed_and_rights_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").touch()
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").touch()
    (top / "a" / "link").symlink_to(tmp_path / "other")
    (top / "link").symlink_to(tmp_path / "other")
    (top / "a" / "b").chmod(0o000)
    (top / "a").chmod(0o500)
    top.chmod(0o000)
    remove_tree(top)
    remove_tree(top)
    assert (tmp_path / "other" / "precious").exists() and not top.exists()
    (tmp_path / "to").symlink_to(tmp_path / "other")
    remove_tree(tmp_path / "to")
    assert (tmp_path / "other" / "precious").exists()
