"""Ids: opaque, typed and sortable. Their makers need a clock and randomness, so they are built in `main`."""

from typing import NewType, Protocol

JobId = NewType("JobId", str)
NodeId = NewType("NodeId", str)
GroupId = NewType("GroupId", str)
WorkspaceId = NewType("WorkspaceId", str)
RunId = NewType("RunId", str)
"""32 lower-case hexadecimal characters, the length of MLflow's own run ids, so that one can stand in for the other."""
Digest = NewType("Digest", str)
"""SHA-256 in 64 lower-case hexadecimal characters: the name of immutable bytes, or of a tree of them."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class IdMaker(Protocol):
    def new(self, kind: str) -> str:
        """A fresh id `kind_<26 characters>`; ids of one maker sort in the order they were made."""
        ...

    def run(self) -> RunId:
        """A fresh random run id."""
        ...

    def secret(self) -> str:
        """A fresh unguessable token (256 bits, URL-safe)."""
        ...

    def name(self) -> str:
        """A fresh job name in Azure's shape, `adjective_noun_<10 characters>` (semantics §1.12)."""
        ...


def sortable(kind: str, milliseconds: int, entropy: int) -> str:
    """Render 48 bits of time and 80 bits of entropy as `kind_<26 characters>` (ULID order, Crockford's alphabet)."""
    number = (milliseconds << 80) | (entropy & ((1 << 80) - 1))
    text = ""
    for _ in range(26):
        text = _ALPHABET[number & 31] + text
        number >>= 5
    return f"{kind}_{text}"
