"""Blobs as Azure's clients know them: names, conditions and ranges. The store of them is flat: a '/' is a letter."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Conflict, Invalid, NotFound

LONGEST_NAME = 1024
_MOST_BYTES = 2048
_DEEPEST = 200
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f\\\\\ufffe\uffff\ud800-\udfff]")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})\Z")


def check_name(name: str) -> None:
    """Empty parts ('a//b', 'a/') are names as any. Raises Invalid `InvalidUri` for what no file below a folder could be
    called, so that a name never leads anywhere else."""
    too_long = len(name) > LONGEST_NAME or len(name.encode(errors="replace")) > _MOST_BYTES
    if not name or too_long or _NOT_IN_NAMES.search(name):
        raise Invalid("InvalidUri", f"{name[:60]!r} cannot be a blob's name: up to 1024 characters, no backslash.")
    parts = name.split("/")
    if "." in parts or ".." in parts or len(parts) > _DEEPEST:
        raise Invalid("InvalidUri", f"'{name[:60]}' has a part '.' or '..', or more than {_DEEPEST} parts.")


def file_path(name: str) -> str | None:
    """Where the blob lies when a job sees the datastore as folders: empty parts are nothing, and a name that ends in '/'
    marks a folder, which is no file."""
    return None if name.endswith("/") else "/".join(part for part in name.split("/") if part)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a caller wants to be so, else nothing is done."""

    match: tuple[str, ...] = ()
    """ETags, one of which it must have; '*' is any. Empty: no such wish."""
    none_match: tuple[str, ...] = ()
    modified_since: Millis | None = None
    unmodified_since: Millis | None = None

    def check(self, etag: str | None, modified_at: Millis, *, reading: bool) -> None:
        """Raises Conflict `ConditionNotMet`, `BlobAlreadyExists`, and when `reading` `NotModified`. `etag`: None when
        there is no such blob."""
        if self.match and (etag is None or not ({"*", etag} & set(self.match))):
            raise _unmet()
        if etag is None:
            return
        if self.none_match and {"*", etag} & set(self.none_match):
            if reading:
                raise Conflict("NotModified", "The blob is as you know it.")
            if "*" in self.none_match:
                raise Conflict("BlobAlreadyExists", "There is a blob of that name.")
            raise _unmet()
        second = modified_at // 1000
        if self.modified_since is not None and second <= self.modified_since // 1000:
            raise Conflict("NotModified", "The blob is as you know it.") if reading else _unmet()
        if self.unmodified_since is not None and second > self.unmodified_since // 1000:
            raise _unmet()


def _unmet() -> Conflict:
    return Conflict("ConditionNotMet", "The blob is not as the request's conditions want it.")


def absent(name: str) -> NotFound:
    return NotFound("BlobNotFound", f"There is no blob '{name}'.")


def byte_range(text: str | None, size: int) -> tuple[int, int] | None:
    """First and end of `bytes=0-99`; None for the whole, which also an unreadable range is. Raises Invalid `InvalidRange`
    when the blob ends before it."""
    found = _RANGE.match(text) if text else None
    if found is None:
        return None
    first, last = int(found[1]), found[2]
    if last and int(last) < first:
        return None
    if first >= size:
        raise Invalid("InvalidRange", f"The blob has {size} bytes.")
    return first, min(size, int(last) + 1) if last else size
