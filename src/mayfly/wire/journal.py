"""What a job wrote about its runs, judged on its node: what MLflow would accept for certain goes into the node's journal
and is answered at once; whatever is doubtful is left to MLflow, whose own answer the job then gets.

The limits are MLflow's, or narrower: a write that is left to MLflow without need costs time, one that is journalled
without right would be an error that nobody hears.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mayfly.wire.learning import learn

Point = tuple[str, float | str, int, int]
"""Key, value ('NaN', 'Infinity' and '-Infinity' by name), timestamp, step."""

MOST_METRICS, MOST_LABELS = 1000, 100
"""Of one `log-batch`: its metrics, its params, its tags, and all of them together at most 1000."""
LARGEST_REQUEST = 500_000
"""Characters of keys and values in one `log-batch`; MLflow takes a million in all."""

_KEY = re.compile(r"[\w\-. ](?:[\w\-. /:]*[\w\-. :])?\Z", re.ASCII)
_LONGEST_KEY, _LONGEST_PARAM, _LONGEST_TAG = 250, 500, 4000
_STATUSES = frozenset({"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"})
_BIGGEST = 1 << 53


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted write. `update` holds status, end_time and run_name of `runs/update`, those that were given."""

    run: str
    metrics: tuple[Point, ...] = ()
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    update: dict[str, str | int] = field(default_factory=dict)


learn(Entry)


@dataclass(slots=True)
class RunState:
    """What the node knows of a run that its attempt may write."""

    params: dict[str, str] | None = None
    """All params of the run; None: others may have set some, so only MLflow can judge a new one."""
    info: dict[str, Any] | None = None
    """MLflow's last words about the run, to answer `runs/update` with."""


def read(operation: str, payload: Mapping[str, Any], state: RunState) -> Entry | None:
    """The entry for a request about a run of this state; None leaves it to MLflow."""
    try:
        entry = _READERS[operation](payload)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if entry.params and not _fits(entry.params, state.params):
        return None
    if entry.update and state.info is None:
        return None
    return entry


def apply(entry: Entry, state: RunState) -> None:
    """What the run is after this entry."""
    if state.params is not None:
        state.params.update(entry.params)
    if state.info is not None:
        state.info.update(entry.update)


def _fits(params: Mapping[str, str], known: Mapping[str, str] | None) -> bool:
    return known is not None and all(known.get(key, value) == value for key, value in params.items())


def _metric(payload: Mapping[str, Any]) -> Entry:
    return Entry(_run(payload), metrics=(_point(payload),))


def _param(payload: Mapping[str, Any]) -> Entry:
    return Entry(_run(payload), params=dict([_label(payload, _LONGEST_PARAM)]))


def _tag(payload: Mapping[str, Any]) -> Entry:
    return Entry(_run(payload), tags=dict([_label(payload, _LONGEST_TAG)]))


def _batch(payload: Mapping[str, Any]) -> Entry:
    metrics = tuple(_point(one) for one in _list(payload, "metrics"))
    params = [_label(one, _LONGEST_PARAM) for one in _list(payload, "params")]
    tags = [_label(one, _LONGEST_TAG) for one in _list(payload, "tags")]
    total = len(metrics) + len(params) + len(tags)
    if total > MOST_METRICS or len(params) > MOST_LABELS or len(tags) > MOST_LABELS:
        raise ValueError("more than MLflow takes at once")
    if len(dict(params)) != len(params):
        raise ValueError("a param twice")
    return Entry(_run(payload), metrics, dict(params), dict(tags))


def _update(payload: Mapping[str, Any]) -> Entry:
    given: dict[str, str | int] = {}
    if (status := payload.get("status")) is not None:
        given["status"] = _one_of(status)
    if (ended := payload.get("end_time")) is not None:
        given["end_time"] = _whole(ended, 0)
    if (name := payload.get("run_name")) is not None:
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_KEY:
            raise ValueError("no name")
        given["run_name"] = name
    if not given:
        raise ValueError("nothing to update")
    return Entry(_run(payload), update=given)


_READERS = {
    "runs/log-metric": _metric,
    "runs/log-parameter": _param,
    "runs/set-tag": _tag,
    "runs/log-batch": _batch,
    "runs/update": _update,
}


def _run(payload: Mapping[str, Any]) -> str:
    run = payload.get("run_id") or payload["run_uuid"]
    if not isinstance(run, str) or payload.get("run_uuid", run) not in ("", run):
        raise ValueError("no run")
    return run


def _list(payload: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = payload.get(name) or []
    if not isinstance(found, list):
        raise TypeError(name)
    return found


def _point(raw: Mapping[str, Any]) -> Point:
    if any(raw.get(name) for name in ("model_id", "dataset_name", "dataset_digest")):
        raise ValueError("a metric of a model: MLflow keeps it elsewhere too")
    value = raw["value"]
    if value in ("NaN", "Infinity", "-Infinity"):
        told: float | str = value
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("value")
    else:
        told = spoken(float(value))
    return _key(raw), told, _whole(raw["timestamp"], 0), _whole(raw.get("step") or 0, -_BIGGEST)


def _label(raw: Mapping[str, Any], longest: int) -> tuple[str, str]:
    value = raw["value"]
    if not isinstance(value, str) or len(value) > longest or "\x00" in value:
        raise ValueError("value")
    value.encode()
    return _key(raw), value


def _key(raw: Mapping[str, Any]) -> str:
    key = raw["key"]
    if not isinstance(key, str) or len(key) > _LONGEST_KEY or not _KEY.match(key):
        raise ValueError("key")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError("a key that is a path")
    return key


def _whole(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("no whole number")
    number = int(value)
    if not least <= number <= _BIGGEST:
        raise ValueError("out of range")
    return number


def _one_of(status: Any) -> str:
    if status not in _STATUSES:
        raise ValueError("status")
    return status


# --- numbers in JSON --------------------------------------------------------------------------------------------------


def spoken(value: float) -> float | str:
    """JSON has no word for what is no number or infinite."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


# --- to MLflow --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """One request for MLflow: `runs/log-batch`, or `runs/update` where `update` is not empty."""

    run: str
    metrics: tuple[Point, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    update: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.metrics) + len(self.params) + len(self.tags)

    def halves(self) -> tuple[Order, Order]:
        """The same in two, for a request of which MLflow refused something."""
        items: list[tuple[str, Any]] = [("m", one) for one in self.metrics]
        items += [("p", one) for one in self.params.items()] + [("t", one) for one in self.tags.items()]
        middle = len(items) // 2
        return _made(self.run, items[:middle]), _made(self.run, items[middle:])


def _made(run: str, items: list[tuple[str, Any]]) -> Order:
    return Order(
        run,
        tuple(one for kind, one in items if kind == "m"),
        dict(one for kind, one in items if kind == "p"),
        dict(one for kind, one in items if kind == "t"),
    )


def orders(entries: Iterable[Entry]) -> Iterator[Order]:
    """The fewest requests that say the same, in order for each run: neighbours join until MLflow's limits."""
    open_runs: dict[str, _Joined] = {}
    for entry in entries:
        joined = open_runs.setdefault(entry.run, _Joined(entry.run))
        yield from joined.add(entry)
        if entry.update:
            yield from joined.close()
            yield Order(entry.run, update=entry.update)
    for joined in open_runs.values():
        yield from joined.close()


class _Joined:
    """Entries of one run that wait to be sent together."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._metrics: list[Point] = []
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._size = 0

    def add(self, entry: Entry) -> Iterator[Order]:
        self._metrics += entry.metrics
        while len(self._metrics) >= MOST_METRICS:
            yield Order(self._run, tuple(self._metrics[:MOST_METRICS]))
            del self._metrics[:MOST_METRICS]
        for kept, given in ((self._params, entry.params), (self._tags, entry.tags)):
            for key, value in given.items():
                if len(kept) >= MOST_LABELS or self._size + len(value) > LARGEST_REQUEST:
                    yield from self._labels()
                kept[key] = value
                self._size += len(key) + len(value)

    def close(self) -> Iterator[Order]:
        if len(self._metrics) + len(self._params) + len(self._tags) <= MOST_METRICS:
            if self._metrics or self._params or self._tags:
                yield Order(self._run, tuple(self._metrics), dict(self._params), dict(self._tags))
                self._params.clear()
                self._tags.clear()
        else:
            yield Order(self._run, tuple(self._metrics))
            yield from self._labels()
        self._metrics.clear()
        self._size = 0

    def _labels(self) -> Iterator[Order]:
        if self._params or self._tags:
            yield Order(self._run, params=dict(self._params), tags=dict(self._tags))
        self._params.clear()
        self._tags.clear()
        self._size = 0
