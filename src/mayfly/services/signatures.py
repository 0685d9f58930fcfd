"""Shared access signatures: what its holder may do in a container, below a folder of it or with one blob, and until when.

The names of the parameters are Azure's, so that its clients take the text for what it is; what is signed, and with what
key, is our own. Nothing of it is kept: the key is made of the server's secret, and a signature ends by its time; a job's, with the job.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mayfly.kit.clock import Millis
from mayfly.kit.errors import Forbidden

VERSION = "2021-12-02"
_SIGNED = ("sv", "sr", "sdd", "sp", "st", "se", "si")
_NAMES = frozenset((*_SIGNED, "sig"))
_ORDER = "racwdl"
_SKEW_MS = 60_000
"""How much later a clock that signs may be than one that looks."""


@dataclass(frozen=True, slots=True)
class Grant:
    """`allowed` are letters of `racwdl`: read, add, create, write, delete, list. A folder or blob is named by `path`."""

    container: str
    allowed: str
    until: Millis
    folder: str = ""
    blob: str = ""
    since: Millis | None = None
    attempt: str = ""
    """`<job>/<attempt>/<epoch>` of the job that was given it: it ends with that, which who looks has to ask."""

    def covers(self, container: str, path: str) -> bool:
        """Whether that blob is within it. The path of a listing is the prefix it asks for."""
        if container != self.container:
            return False
        if self.blob:
            return path == self.blob
        return not self.folder or path == self.folder or path.startswith(f"{self.folder}/")


class Signatures:
    def __init__(self, secret: bytes) -> None:
        self._key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"mayfly shared access signatures").derive(
            secret
        )

    def sign(self, grant: Grant) -> str:
        """The query of an address, without a '?'."""
        kind = "b" if grant.blob else "d" if grant.folder else "c"
        fields = {"sv": VERSION, "sr": kind, "sp": "".join(one for one in _ORDER if one in grant.allowed)}
        if grant.folder:
            fields["sdd"] = str(grant.folder.count("/") + 1)
        if grant.since is not None:
            fields["st"] = _moment(grant.since)
        fields["se"] = _moment(grant.until)
        if grant.attempt:
            fields["si"] = grant.attempt
        fields["sig"] = self._mac(fields, grant.container, grant.blob or grant.folder)
        return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())

    def verify(self, query: Sequence[tuple[str, str]], container: str, path: str, now: Millis) -> Grant:
        """What the signature of a request grants, at that address and time. Raises Forbidden `AuthenticationFailed`.

        A signature for a folder is found among the folders above the path, by how deep it says to lie."""
        given = [(name, value) for name, value in query if name in _NAMES]
        fields = dict(given)
        if len(given) != len(fields) or any("\n" in value for value in fields.values()):
            raise _denied("A part of the signature is there twice.")
        if "sig" not in fields:
            raise _denied("The request carries no signature (sig).")
        kind, named = fields.get("sr"), ""
        if kind == "b":
            named = path
        elif kind == "d":
            named = _above(path, fields.get("sdd", ""))
        elif kind != "c":
            raise _denied("It is signed for neither a container (sr=c), a folder (d) nor a blob (b).")
        if not hmac.compare_digest(fields["sig"].encode(), self._mac(fields, container, named).encode()):
            raise _denied("The signature is not one of this server's, or not for this.")
        until, since = _millis(fields.get("se", "")), _millis(fields["st"]) if "st" in fields else None
        if until <= now or (since is not None and since - _SKEW_MS > now):
            raise _denied(f"The signature is good from {fields.get('st', 'its making')} to {fields['se']}.")
        folder, blob = (named, "") if kind == "d" else ("", named)
        return Grant(container, fields.get("sp", ""), until, folder, blob, since, fields.get("si", ""))

    def _mac(self, fields: dict[str, str], container: str, path: str) -> str:
        text = "\n".join((*(fields.get(name, "") for name in _SIGNED), container, path))
        return base64.b64encode(hmac.new(self._key, text.encode(), hashlib.sha256).digest()).decode()


def _above(path: str, depth: str) -> str:
    parts = path.split("/")
    if not depth.isascii() or not depth.isdigit() or not 0 < int(depth[:4]) <= len(parts):
        raise _denied("The address does not lie in the folder that the signature is for.")
    return "/".join(parts[: int(depth[:4])])


def _moment(moment: Millis) -> str:
    return datetime.fromtimestamp(moment // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _millis(text: str) -> Millis:
    try:
        return Millis(int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() * 1000))
    except ValueError as error:
        raise _denied("Its times are not of the form 2024-05-01T12:00:00Z.") from error


def _denied(why: str) -> Forbidden:
    return Forbidden(
        "AuthenticationFailed",
        f"The shared access signature opens nothing here. {why}",
        remedy="Ask the datastore for a new one (listSecrets).",
    )
