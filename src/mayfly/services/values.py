"""What the children of a job made, and what of it is a value: the text of one small file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mayfly.kit.errors import Invalid
from mayfly.kit.ids import Digest
from mayfly.services import datastores, outputs
from mayfly.services.data import DEFAULT_OUTPUT
from mayfly.services.world import World
from mayfly.spec.control import truth
from mayfly.store import results
from mayfly.store.children import ChildRow
from mayfly.store.results import OutputRow

_LARGEST = 1 << 16


def output(world: World, child: ChildRow, wanted: Mapping[str, Any]) -> OutputRow | None:
    """An output of a child, under the name that its parent has for it."""
    names = DEFAULT_OUTPUT if wanted["output"] in DEFAULT_OUTPUT else (wanted["output"],)
    found = world.store.read(lambda connection: results.outputs_of(connection, child.id, child.attempt))
    mine = [one for one in found if one.name in names]
    if not mine:
        return None
    files, size = sum(one.files for one in mine), sum(one.bytes for one in mine)
    return OutputRow(0, wanted["name"], outputs.whole(world, mine), files, size)


def value_of(world: World, child: ChildRow, name: str) -> str | None:
    """What a child wrote as a value: the text of the output's one file; None where there is none that can be read."""
    found = output(world, child, {"name": name, "output": name})
    entries = () if found is None else datastores.read_tree(world, found.tree).entries
    if len(entries) != 1 or entries[0].size > _LARGEST:
        return None
    try:
        return b"".join(world.content.open(Digest(entries[0].digest))).decode().strip()
    except UnicodeDecodeError:
        return None


def text_of(world: World, child: ChildRow, name: str) -> str:
    """As `value_of`. Raises Invalid `ValueUnreadable`."""
    text = value_of(world, child, name)
    if text is None:
        raise Invalid(
            "ValueUnreadable",
            f"The output '{name}' of '{child.step}' holds nothing that can be read as a value.",
            remedy=f"Let its command write the value into ${{{{outputs.{name}}}}}, one file of at most 64 KiB of text.",
        )
    return text


def answer_of(world: World, child: ChildRow, name: str) -> tuple[bool | None, str]:
    """What a condition came to; None, and why that cannot be told."""
    text = value_of(world, child, name)
    answer = None if text is None else truth(text)
    if answer is not None:
        return answer, ""
    said = "nothing that can be read" if text is None else f"'{text[:80]}'"
    return (
        None,
        f"The output '{name}' of '{child.step}' holds {said}; a condition is a file with 'true' or 'false' in it.",
    )
