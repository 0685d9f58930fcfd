"""Steps that need not run again: when two are the same, whose results a step has, and what differed when it ran."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mayfly.domain.life import Reused
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Conflict, MayflyError
from mayfly.kit.ids import Digest
from mayfly.services import outputs
from mayfly.services.datastores import read_tree
from mayfly.services.moves import move
from mayfly.services.world import World
from mayfly.store import codec, environments, jobs, results
from mayfly.store import reuse as reuse_rows
from mayfly.store.jobs import JobRow
from mayfly.store.unit import Unit

_SETTINGS = ("resources", "distribution", "limits", "environment_variables", "identity")
_LARGEST_TEXT = 1 << 20
_WORDS = {"code": "its code", "environment": "its environment", "command": "its command"}


def parts(normal: Mapping[str, Any], work: Mapping[str, Any], environment: str) -> dict[str, Any] | None:
    """What two steps must share to be one, in the order in which a difference is looked for; None where what it reads
    cannot be known by its content. Tier, priority and compute do not count: they change when it runs, not what it does."""
    given = work["inputs"]
    if any(not one["tree"] for one in given) or any(target["address"] for target in work["targets"].values()):
        return None
    return {
        "command": normal["command"],
        "code": work["code"] or "",
        "environment": environment,
        "parameters": work["literals"],
        "inputs": {one["name"]: [one["tree"], one["mode"], one["type"]] for one in given},
        "outputs": normal.get("outputs", {}),
        "settings": {key: normal.get(key) for key in _SETTINGS},
    }


def key_of(found: Mapping[str, Any]) -> str:
    return hashlib.sha256(codec.dump(dict(found)).encode()).hexdigest()


def taken_over(world: World, unit: Unit, row: JobRow, now: Millis) -> JobRow | None:
    """In the unit that keeps a child: the child with the results of a job that did the same. None: it must run. Raises
    Conflict `SameStepUnderWay`."""
    if row.reuse_key is None:
        return None
    same = reuse_rows.same_work(unit, row.workspace, row.reuse_key)
    done = [one for one in same if one.job.state.terminal and _left(unit, one) is not None]
    if not done:
        if any(not one.job.state.terminal for one in same):
            raise Conflict("SameStepUnderWay", "The same step is under way; its results will be used.")
        return None
    row = with_results_of(row, done[0].job.id, done[0].name)
    row = replace(row, sequence=jobs.add(unit, row))
    left = _left(unit, done[0]) or []
    for output in left:
        results.add_output(unit, row.job.id, 0, output)
    row = move(unit, row, Reused(), now)
    outputs.inherited(world, unit, row, left, now)
    return row


def with_results_of(row: JobRow, original: str, name: str) -> JobRow:
    properties = {**row.properties, "azureml.isreused": "true", "azureml.reusedrunid": name}
    return replace(row, reused=original, properties=properties)


def _left(unit: Unit, row: JobRow) -> list[results.OutputRow] | None:
    """What it left; None when that was given up since."""
    found = results.outputs_of(unit.connection, row.job.id, row.job.attempt)
    return found if found or not codec.load(row.work)["outputs"] else None


# --- explained --------------------------------------------------------------------------------------------------------


def sentence(world: World, row: JobRow) -> str:
    """Why a step was or was not reused; '' for a job that is no step."""
    if row.step is None or row.job.composite:
        return ""
    if row.reused is not None:
        original = world.store.read(lambda connection: jobs.by_id(connection, str(row.reused)))
        name = "another job" if original is None else f"'{original.name}'"
        return f"It did not run: {name} did the same, so its outputs, logs and metrics are shown."
    if row.reuse_parts is None:
        return "It ran: what it reads or writes lies elsewhere and may change, so it is not reused."
    mine = codec.load(row.reuse_parts)
    if row.reuse_key is None:
        return "It ran because reuse was turned off for it (force_rerun, or is_deterministic: false)."
    before = world.store.read(lambda connection: reuse_rows.earlier_runs(connection, row))
    if not before:
        return f"It ran: no step '{row.step}' has completed here before it that it could reuse."
    nearest = min(before, key=lambda one: _distance(codec.load(one.reuse_parts or "{}"), mine))
    theirs = codec.load(nearest.reuse_parts or "{}")
    different = _differing(theirs, mine)
    if not different:
        return (
            f"It ran although '{nearest.name}' had done the same: that one ended later, or its outputs were given up."
        )
    first = different[0]
    shown = _difference(world, first, theirs.get(first), mine.get(first))
    others = f" Different too: {', '.join(different[1:])}." if different[1:] else ""
    return f"It ran: {_WORDS.get(first, f'its {first}')} differ{'s' if first in _WORDS else ''} from '{nearest.name}': {shown}.{others}"


def _distance(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> tuple[int, int]:
    """How many parts differ, and how many keys in them."""
    parts = _differing(theirs, mine)
    pairs = [(theirs.get(part), mine.get(part)) for part in parts]
    both = [(old, new) for old, new in pairs if isinstance(old, dict) and isinstance(new, dict)]
    return len(parts), sum(old.get(key) != new.get(key) for old, new in both for key in {*old, *new})


def _differing(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    order = ("command", "code", "environment", "parameters", "inputs", "outputs", "settings")
    return [key for key in order if theirs.get(key) != mine.get(key)]


def _difference(world: World, part: str, theirs: Any, mine: Any) -> str:
    try:
        if part == "code":
            return _trees(world, theirs, mine)
        if part == "environment":
            return _environments(world, theirs, mine)
        if part == "inputs":
            return _inputs(world, theirs, mine)
    except MayflyError:
        return "what it was before is not kept any more"
    if isinstance(theirs, dict) and isinstance(mine, dict):
        key = next(key for key in sorted({*theirs, *mine}) if theirs.get(key) != mine.get(key))
        return f"{key} was {_shown(theirs.get(key))} and is {_shown(mine.get(key))}"
    return f"was {_shown(theirs)} and is {_shown(mine)}"


def _inputs(world: World, theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    name = next(name for name in sorted({*theirs, *mine}) if theirs.get(name) != mine.get(name))
    before, now = theirs.get(name), mine.get(name)
    if before is None or now is None:
        return f"the input '{name}' is {'new' if before is None else 'gone'}"
    if before[0] != now[0]:
        return f"the input '{name}' has another content ({_trees(world, before[0], now[0])})"
    return f"the input '{name}' was {_shown(before[1:])} and is {_shown(now[1:])}"


def _trees(world: World, theirs: str, mine: str) -> str:
    before, now = ({e.path: e for e in read_tree(world, one).entries} if one else {} for one in (theirs, mine))
    for path in sorted({*before, *now}):
        if path not in now:
            return f"{path} is gone"
        if path not in before:
            return f"{path} is new"
        if before[path].digest != now[path].digest:
            old, new = (_text(world, one[path].digest, one[path].size) for one in (before, now))
            if old is None or new is None:
                return f"{path} has changed"
            number, line = _first_change(old, new)
            return f"{path} has changed, first in line {number}: {_shown(line)}"
    return "modes of its files have changed"


def _text(world: World, digest: str, size: int) -> list[str] | None:
    if size > _LARGEST_TEXT:
        return None
    try:
        return b"".join(world.content.open(Digest(digest))).decode().splitlines()
    except UnicodeDecodeError:
        return None


def _first_change(old: list[str], new: list[str]) -> tuple[int, str]:
    number = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return number + 1, new[number] if number < len(new) else ""


def _environments(world: World, theirs: str, mine: str) -> str:
    found = [world.store.read(lambda c, one=one: environments.get(c, one)) for one in (theirs, mine)]
    old, new = (_lines(one.definition) if one is not None else [] for one in found)
    changed = [line for line in difflib.ndiff(old, new) if line[:2] in ("- ", "+ ")]
    return ", ".join(line.replace("- ", "without ").replace("+ ", "with ") for line in changed[:4]) or "another hash"


def _lines(value: Any) -> list[str]:
    """Every word of a definition, one a line: a package that changed is a line."""
    if isinstance(value, Mapping):
        return [line for key in sorted(value) if key != "note" for line in _lines(value[key])]
    if isinstance(value, list):
        return [line for one in value for line in _lines(one)]
    return [] if value is None else str(value).splitlines()


def _shown(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else codec.dump(value)
    return f"'{text[:120]}{'…' if len(text) > 120 else ''}'"
