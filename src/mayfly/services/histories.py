"""How a metric of a job's own run went, answered from our rows in MLflow's words: the cost of a page does not grow with
the number of points, and nobody waits until MLflow has heard them all.

What MLflow would refuse, runs that jobs nested, and jobs with a run that began after their own had ended (whose points
our rows keep as the job's) are left to MLflow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from msgspec import json

from mayfly.domain.tracking import MetricValue, RunRole, TrackedRun
from mayfly.ports.tracking import Response, TrackingRows
from mayfly.services.relaying import Bytes

PAGE = "metrics/get-history"
CURVE = "metrics/get-history-bulk-interval"
_MOST = 5_000
"""Points of a page, whatever is asked for: a tenth of a second. MLflow's own clients ask for 25,000, and for the next."""
_CURVE = 2_500
"""Points of a curve unless told; at most MLflow's own number."""
_MARK = "after-"
_LARGEST = 1.7976931348623157e308


def answer(rows: TrackingRows, operation: str, query: str, runs: Mapping[str, TrackedRun]) -> Response | None:
    """`runs`: those the query names, which the caller may read, by the id it used. None: MLflow is to answer."""
    asked = parse_qs(query)
    try:
        if operation == PAGE:
            told = _page(rows, asked, runs)
        else:
            told = _curves(rows, asked, runs) if operation == CURVE else None
    except (KeyError, ValueError):
        return None
    if told is None:
        return None
    body = json.encode(told)
    return Response(200, (("content-type", "application/json"), ("content-length", str(len(body)))), Bytes(body))


def _page(
    rows: TrackingRows, asked: Mapping[str, Sequence[str]], runs: Mapping[str, TrackedRun]
) -> dict[str, object] | None:
    """In the order of arrival."""
    (run,) = asked.get("run_id") or asked["run_uuid"]
    (key,), token = asked["metric_key"], asked.get("page_token", [""])[0]
    most = min(int(asked.get("max_results", [str(_MOST)])[0]), _MOST)
    if most < 1 or not (token.startswith(_MARK) if token else _whole(rows, runs.get(run))):
        return None
    after = int(token.removeprefix(_MARK) or 0)
    found = rows.history(runs[run].job, key, after, most + 1)
    told: dict[str, object] = {"metrics": [_point(key, point) for _, point in found[:most]]} if found else {}
    if len(found) > most:
        told["next_page_token"] = f"{_MARK}{found[most - 1][0]}"
    return told


def _curves(
    rows: TrackingRows, asked: Mapping[str, Sequence[str]], runs: Mapping[str, TrackedRun]
) -> dict[str, object] | None:
    """By step; points are picked at even distances where there are too many."""
    (key,) = asked["metric_key"]
    most = min(int(asked.get("max_results", [str(_CURVE)])[0]), _CURVE)
    between = (int(asked["start_step"][0]), int(asked["end_step"][0])) if "start_step" in asked else None
    if most < 1 or (between is None) != ("end_step" not in asked) or (between and between[0] > between[1]):
        return None
    if not all(_whole(rows, runs.get(run)) for run in asked["run_ids"]):
        return None
    points = [
        {**_point(key, point), "run_id": run}
        for run in asked["run_ids"]
        for point in rows.curve(runs[run].job, key, most, between)
    ]
    return {"metrics": points} if points else {}


def _whole(rows: TrackingRows, run: TrackedRun | None) -> bool:
    """Whether our rows have the points of this run, and no others under its job."""
    if run is None or run.role is not RunRole.JOB:
        return False
    return all(one.role is not RunRole.STRAY for one in rows.runs_of(run.job))


def _point(key: str, point: MetricValue) -> dict[str, object]:
    value: float | str = point.value
    if math.isnan(point.value):
        value = "NaN"
    elif math.isinf(point.value):
        value = math.copysign(_LARGEST, point.value)  # as MLflow keeps it
    return {"key": key, "value": value, "timestamp": point.timestamp, "step": point.step}
