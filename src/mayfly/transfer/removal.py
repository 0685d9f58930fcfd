"""Deleting folders that others have filled, whatever they made of them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_DEEP = 24
"""So many folders are held open at once, each in the one before it."""
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)


def remove_tree(folder: Path) -> None:
    """Delete a folder, also one whose owner took the rights off its folders, or nested them by the thousands. Nothing
    happens when it is not there. Links are removed, never followed. Raises OSError when something cannot be removed."""
    if folder.is_symlink() or not folder.exists():
        return
    _unlock(folder.name, os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), close=True)
    top = _open(os.fspath(folder), None)
    try:
        _empty(top)
    finally:
        os.close(top)
    with suppress(FileNotFoundError):
        folder.rmdir()


def _empty(top: int) -> None:
    """What lies deeper than `_DEEP` moves up to `top` before it is looked into, so the depth never matters."""
    waiting, number = _clear(top, top, 0, 0)
    while waiting:
        name = waiting.pop()
        with suppress(FileNotFoundError):
            found, number = _remove(name, top, top, number, 0)
            waiting += found


def _clear(folder: int, top: int, number: int, depth: int) -> tuple[list[str], int]:
    """Remove what is in a folder. Of its folders those that are too deep move to `top`: their names there, and the next free number."""
    moved: list[str] = []
    with os.scandir(folder) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in listed:
        with suppress(FileNotFoundError):
            if not is_folder:
                os.unlink(name, dir_fd=folder)
                continue
            _unlock(name, folder)
            if depth < _DEEP:
                found, number = _remove(name, folder, top, number, depth)
                moved += found
                continue
            while not _move(name, folder, f".removed-{number}", top):
                number += 1
            moved.append(f".removed-{number}")
            number += 1
    return moved, number


def _remove(name: str, folder: int, top: int, number: int, depth: int) -> tuple[list[str], int]:
    """As `_clear`, and the folder itself. Raises FileNotFoundError when it is not there."""
    inner = _open(name, folder)
    try:
        found = _clear(inner, top, number, depth + 1)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
    return found


def _move(name: str, folder: int, new: str, top: int) -> bool:
    """False when there is something of the new name."""
    try:
        os.stat(new, dir_fd=top, follow_symlinks=False)
    except FileNotFoundError:
        try:
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
        return True
    return False


def _open(name: str, folder: int | None) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


def _unlock(name: str, folder: int, *, close: bool = False) -> None:
    """Let its owner list and change it; nothing to do for root."""
    try:
        if os.geteuid() != 0 and stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.chmod(name, 0o700, dir_fd=folder)
    except OSError:
        return  # what cannot be removed for it says so itself
    finally:
        if close:
            os.close(folder)
