"""The ports of tracking: the MLflow server on one side, our own rows on the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from mayfly.domain.tracking import MetricValue, Tracked, TrackedRun
from mayfly.kit.ids import JobId


class Body(Protocol):
    """Chunks of bytes, once."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer. `body` must be read to its end or closed; then its connection is free again."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: Body


class TrackingServer(Protocol):
    """The real MLflow server, started on the first call. Safe for many threads.

    `request` waits until the server is healthy, at most for a time of its own choosing. Raises Unavailable
    `TrackingUnavailable` when the server does not come up, or goes away before the answer's head: a request without
    side effects may then be sent again.
    """

    def prewarm(self) -> None:
        """Start it in the background; returns at once."""
        ...

    def request(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] = b"",
    ) -> Response:
        """`path` and `query` are percent-encoded already; the hop's own headers (Host, Connection…) are made here."""
        ...

    def close(self) -> None:
        """End it and wait for its end; repeatable."""
        ...


@dataclass(frozen=True, slots=True)
class FeedPiece:
    """What MLflow has still to be told of a job: lines of JSON, each a `wire.journal.Entry`."""

    sequence: int
    body: str


class TrackingRows(Protocol):
    """Our rows about runs. Each call is one unit of work of its own, durable when it returns."""

    def bind(self, run: TrackedRun) -> TrackedRun:
        """Keep the pair unless `run.run` has one already; the pair that holds now (first writer wins)."""
        ...

    def find(self, ids: Sequence[str]) -> Sequence[TrackedRun]:
        """The runs of which either id is among `ids` (any order, unknown ones left out)."""
        ...

    def runs_of(self, job: JobId) -> Sequence[TrackedRun]:
        """All runs that the job made, its own first."""
        ...

    def record(self, job: JobId, attempt: int, tracked: Tracked) -> None:
        """Add metric values, set params and tags. May be repeated with the same values (key, step, timestamp and value
        name a metric value). What comes from an attempt that is not the job's current one is dropped."""
        ...

    def history(self, job: JobId, key: str, after: int, most: int) -> Sequence[tuple[int, MetricValue]]:
        """The points of a metric behind that place, in the order of arrival, each with its place."""
        ...

    def curve(self, job: JobId, key: str, most: int, between: tuple[int, int] | None) -> Sequence[MetricValue]:
        """The points of a metric by step, in those steps alone where they are given. Where there are more than `most`,
        as many at even distances, the first and the last among them."""
        ...

    def feed(self, job: JobId, most: int) -> Sequence[FeedPiece]:
        """The oldest pieces that MLflow has not heard."""
        ...

    def fed(self, pieces: Sequence[FeedPiece]) -> None:
        """MLflow has heard them; a crash before this call means that it hears them again, which changes nothing."""
        ...

    def waiting(self) -> Sequence[JobId]:
        """The jobs that have such pieces."""
        ...

    def turn(self, kind: str, name: str) -> AbstractContextManager[None]:
        """Until it ends nobody else has it, in no thread of any server. Kinds may be nested in each other, not in
        themselves. Raises Unavailable `TurnTaken` when another server keeps it."""
        ...
