"""msgspec learns a type when it first meets it, and two threads that have it do so at the same moment end the process
(0.22: a segmentation fault). So whatever threads read is learnt where it is defined, while its module is loaded."""

from __future__ import annotations

import msgspec


def learn(*shapes: type) -> None:
    """With all that they are made of."""
    for shape in shapes:
        msgspec.json.Decoder(shape)
