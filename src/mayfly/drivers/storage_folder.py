"""Storage in a folder of the server's machine: `file:///path`."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mayfly.drivers.files import chunks
from mayfly.kit.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from mayfly.ports.storage import Entry, Place
from mayfly.transfer.killpoints import lasting
from mayfly.transfer.removal import remove_tree


class FolderStorage:
    """Implements `ports.storage.Storage`. Links are followed where they end below the place; others are not there."""

    def is_file(self, place: Place) -> bool:
        with _told(place):
            found = _path(place).stat()
        return not stat.S_ISDIR(found.st_mode)

    def list(self, place: Place) -> Iterator[Entry]:
        root = _path(place)
        if self.is_file(place):
            found = root.stat()
            return iter([Entry(root.name, found.st_size, _version(found))])
        with _told(place):
            entries = sorted(_walk(root), key=lambda entry: entry.path)
        return iter(entries)

    def read(
        self, place: Place, path: str, offset: int = 0, length: int | None = None, version: str = ""
    ) -> Iterator[bytes]:
        with _told(place):
            file = _file(place, path).open("rb")
        try:
            if version and _version(os.fstat(file.fileno())) != version:
                raise _changed(place, path)
            file.seek(offset)
        except BaseException:
            file.close()
            raise
        return chunks(file, length)

    def write(self, place: Place, path: str, chunks: Iterable[bytes]) -> None:
        target = _target(place, path)
        with _told(place):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=".mayfly-", suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).chmod(0o644)
                with lasting("server:stored file"):
                    Path(name).replace(target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def remove(self, place: Place) -> None:
        path = _path(place)
        with _told(place):
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def _told(place: Place) -> Iterator[None]:
    """Turns the system's refusals into ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound("DataNotFound", f"There is nothing at '{place.address}' on the server's machine.") from error
    except PermissionError as error:
        raise Forbidden("DataForbidden", f"The server may not use '{place.address}'.") from error
    except IsADirectoryError as error:
        raise NotFound("DataNotFound", f"'{place.address}' is a folder, not a file.") from error
    except OSError as error:
        raise Unavailable("StorageUnreachable", f"'{place.address}' cannot be used: {error.strerror}.") from error


def _path(place: Place) -> Path:
    path = place.address.removeprefix("file://")
    if not path.startswith("/") or "\x00" in path or ".." in path.split("/"):
        raise Invalid("AddressInvalid", f"'{place.address}' is no absolute path.")
    return Path(path)


def _target(place: Place, path: str) -> Path:
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") for part in parts) or "\x00" in path:
        raise Invalid("AddressInvalid", f"{path!r} is no path below '{place.address}'.")
    target = _path(place).joinpath(*parts)
    root = os.path.realpath(_path(place))
    if parts and not _inside(root, os.path.realpath(target)):
        raise Invalid("AddressInvalid", f"{path!r} leads out of '{place.address}', through a link.")
    return target


def _file(place: Place, path: str) -> Path:
    root = _path(place)
    return root if root.is_file() and path in ("", root.name) else _target(place, path)


def _inside(root: str, path: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _walk(root: Path) -> Iterator[Entry]:
    top = os.path.realpath(root)
    for folder, _folders, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            try:
                if path.is_symlink() and not _inside(top, os.path.realpath(path)):
                    continue
                found = path.stat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode) and not (name.startswith(".mayfly-") and name.endswith(".part")):
                yield Entry(path.relative_to(root).as_posix(), found.st_size, _version(found))


def _version(found: os.stat_result) -> str:
    return f"{found.st_size}-{found.st_mtime_ns}"


def _changed(place: Place, path: str) -> Conflict:
    return Conflict("DataChanged", f"'{place.address}/{path}' has changed since it was listed.")
