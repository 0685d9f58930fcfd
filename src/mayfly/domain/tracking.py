"""What a job may ask of MLflow, how one run id stands in for the other, and what a request says about the job's run.

Mayfly's run ids have the length and the alphabet of MLflow's, so that one can take the other's place in any text
without changing its size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mayfly.domain.job import JobState
from mayfly.kit.errors import Forbidden, NotFound
from mayfly.kit.ids import JobId

PARENT_TAG = "mlflow.parentRunId"


class RunRole(StrEnum):
    """Whose run it is: the job's own; one that the job nested; or one begun after MLflow had ended the job's own."""

    JOB = "job"
    CHILD = "child"
    STRAY = "stray"


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """One MLflow run that a job made. For its own run `run` is Mayfly's id, else the two are equal."""

    run: str
    mlflow_run: str
    job: JobId
    role: RunRole = RunRole.JOB


@dataclass(frozen=True, slots=True)
class MetricValue:
    key: str
    value: float
    """May be NaN or infinite."""
    step: int
    timestamp: int
    """Milliseconds since 1970, by the job's clock."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """What one accepted request said about the job's run."""

    metrics: tuple[MetricValue, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.metrics or self.params or self.tags)


MLFLOW_STATUS = {JobState.COMPLETED: "FINISHED", JobState.FAILED: "FAILED", JobState.CANCELED: "KILLED"}
"""The final status of a job's run, by the job's terminal state."""

# --- routes -----------------------------------------------------------------------------------------------------------

_API = re.compile(r"/api/[23]\.0/mlflow/(?P<rest>[^?#]+)\Z")
_ARTIFACTS = re.compile(r"/api/2\.0/mlflow-artifacts/artifacts(?:/(?P<rest>[^?#]*))?\Z")
_AREAS = frozenset(
    [
        "artifacts",
        "datasets",
        "experiments",
        "logged-models",
        "metrics",
        "model-versions",
        "registered-models",
        "runs",
        "server-info",
        "traces",
        "unified-traces",
    ]
)
_REFUSED = frozenset(
    {"experiments/delete", "experiments/restore", "experiments/update", "artifacts/presigned-upload-url"}
)
_READS = re.compile(r"(?:[\w-]+/)*(?:search[\w-]*|batchGet|get[\w-]*|metrics|presigned-download-url)\Z")


@dataclass(frozen=True, slots=True)
class Route:
    """A request that may be forwarded. `operation` is 'runs/log-metric' and the like, or '' for artifact bytes."""

    operation: str
    writes: bool
    artifact: str | None = None
    """The path of an artifact below MLflow's artifact root; None for everything else."""

    @property
    def opaque(self) -> bool:
        """Bytes of an artifact: never looked into."""
        return self.artifact is not None


def route(method: str, path: str) -> Route:
    """Raises NotFound `TrackingPathUnknown` for what is no part of MLflow's tracking, Forbidden `TrackingRefused` for
    what a job may not do: its token opens its own runs, not the deletion or renaming of experiments."""
    if "/../" in f"{path}/" or "/./" in f"{path}/" or "%5c" in path.lower() or "\\" in path:
        raise Forbidden("TrackingRefused", "A path may not leave its folder.")
    files = _ARTIFACTS.match(path)
    if files:
        if not files["rest"]:
            return Route("artifacts/list", writes=False)
        return Route("", writes=method not in ("GET", "HEAD"), artifact=files["rest"])
    api = _API.match(path)
    operation = api["rest"].strip("/") if api else ""
    if operation.split("/", 1)[0] not in _AREAS:
        raise NotFound("TrackingPathUnknown", f"{path} is not a part of MLflow that jobs are given.")
    if operation in _REFUSED:
        raise Forbidden("TrackingRefused", f"A job may not call {operation}.", remedy="Do it from outside the job.")
    writes = method not in ("GET", "HEAD") and not _READS.match(operation)
    return Route(operation, writes)


def check(
    asked: Route, method: str, payload: Mapping[str, Any], mentioned: Mapping[str, TrackedRun], job: JobId
) -> None:
    """Refuse writes to runs of other jobs, and addresses on the server's own disk. `mentioned`: the known runs that the
    request names, by the id it used. Raises Forbidden `TrackingRefused`."""
    if not asked.writes:
        return
    if asked.artifact is not None:
        targets = list(mentioned.values())
        folder = "models" in asked.artifact.split("/") or "traces" in asked.artifact.split("/")
        if not targets and not (folder and method == "PUT"):
            raise Forbidden("TrackingRefused", "A job may write the artifacts of its own runs only.")
    else:
        named = [payload.get(key) for key in ("run_id", "run_uuid", "source_run_id")]
        targets = [mentioned[str(one)] for one in named if str(one) in mentioned]
        if asked.operation.startswith("model-versions"):
            targets = []  # registering another job's model reads that run
    for target in targets:
        if target.job != job:
            raise Forbidden("TrackingRefused", f"Run {target.run} belongs to another job.")
        if target.role is RunRole.JOB and asked.operation == "runs/delete":
            raise Forbidden("TrackingRefused", "A job may not delete its own run.")
    check_places(payload)


def check_places(payload: Mapping[str, Any]) -> None:
    """Refuse addresses on the server's own disk. Raises Forbidden `TrackingRefused`."""
    for key in ("artifact_location", "source"):
        address = payload.get(key)
        if isinstance(address, str) and (address.startswith(("/", ".")) or address.lower().startswith("file:")):
            raise Forbidden("TrackingRefused", f"'{key}' may not name a place on the server's own disk.")


# --- ids --------------------------------------------------------------------------------------------------------------

_ID = re.compile(rb"(?<![0-9A-Za-z-])[0-9a-f]{32}(?![0-9A-Za-z])")


def ids_in(text: bytes) -> frozenset[str]:
    """Everything that looks like a run id."""
    return frozenset(match.decode() for match in _ID.findall(text))


def swap(text: bytes, stand_in: Callable[[str], str]) -> bytes:
    """Replace each id by `stand_in(id)`, which has the same length."""
    return _ID.sub(lambda match: stand_in(match[0].decode()).encode(), text)


# --- what a request says ----------------------------------------------------------------------------------------------


def target(payload: Mapping[str, Any]) -> str:
    """The run that a request of `runs/…` is about."""
    return str(payload.get("run_id") or payload.get("run_uuid") or "")


def told(operation: str, payload: Mapping[str, Any]) -> Tracked:
    """Metrics, params and tags of an accepted `runs/…` request. MLflow's own tags (mlflow.…) are left out."""
    if operation == "runs/log-metric":
        return Tracked(metrics=_metrics([payload]))
    if operation == "runs/log-parameter":
        return Tracked(params=_texts([payload]))
    if operation == "runs/set-tag":
        return Tracked(tags=_tags([payload]))
    if operation == "runs/log-batch":
        return Tracked(_metrics(payload.get("metrics")), _texts(payload.get("params")), _tags(payload.get("tags")))
    return Tracked()


def _entries(raw: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in raw or () if isinstance(entry, Mapping) and "key" in entry]


def _metrics(raw: Any) -> tuple[MetricValue, ...]:
    return tuple(
        MetricValue(
            str(entry["key"]), float(entry["value"]), int(entry.get("step") or 0), int(entry.get("timestamp") or 0)
        )
        for entry in _entries(raw)
        if "value" in entry
    )


def _texts(raw: Any) -> dict[str, str]:
    return {str(entry["key"]): str(entry.get("value", "")) for entry in _entries(raw)}


def _tags(raw: Any) -> dict[str, str]:
    return {key: value for key, value in _texts(raw).items() if not key.startswith("mlflow.")}


def adopted(payload: Mapping[str, Any], parent: str, job_tag: str) -> tuple[dict[str, Any], RunRole]:
    """A `runs/create` request with the job as parent unless it names one, and which role the new run has."""
    tags = [tag for tag in payload.get("tags") or () if isinstance(tag, Mapping)]
    nested = any(tag.get("key") == PARENT_TAG for tag in tags)
    added: list[Mapping[str, Any]] = [{"key": "mayfly.job", "value": job_tag}]
    if not nested:
        added.append({"key": PARENT_TAG, "value": parent})
    return {**payload, "tags": [*tags, *added]}, RunRole.CHILD if nested else RunRole.STRAY
