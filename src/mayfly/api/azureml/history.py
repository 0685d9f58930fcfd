"""Run history, as the SDK streams, shows and relabels jobs by it; and log files by addresses that open themselves."""

from __future__ import annotations

import re
import threading
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from mayfly.api.azureml.here import HISTORY, WS, Here
from mayfly.api.azureml.jobs import NOT_YET, find, not_yet, status, why
from mayfly.api.workspace import Name
from mayfly.domain import references
from mayfly.domain.references import JobOutputReference
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid, NotFound
from mayfly.services import capabilities, jobs, logs, outputs, steplogs
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.store import jobs as rows
from mayfly.store.azure_bodies import BodyRow
from mayfly.store.jobs import JobRow
from mayfly.wire.azureml.resources import Body as Told
from mayfly.wire.azureml.resources import labels_of, moment, page, properties_of
from mayfly.wire.mayfly import JobUpdate

_FOLLOWED_MS = 600_000
_MOST_FOLLOWERS = 10_000
_VERSION = re.compile(r"azure-ai-ml/(\d+)\.(\d+)")


class _Followers:
    """Who has begun to follow which job. The SDK prints no log of a job that has ended when it first asks; so the first
    answer about an ended job is 'Finalizing', and the next, a moment later, tells its end."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Millis] = {}
        self._lock = threading.Lock()

    def first(self, who: str, job: str, now: Millis, *, ended: bool) -> bool:
        with self._lock:
            before = self._seen.pop((who, job), None)
            fresh = before is None or now - before > _FOLLOWED_MS
            if not ended or fresh:
                self._seen[who, job] = now
            while len(self._seen) > _MOST_FOLLOWERS:
                self._seen.pop(next(iter(self._seen)))
            return fresh


def router(here: Here) -> APIRouter:
    routes = APIRouter()
    followers = _Followers()
    run = f"{HISTORY}/runs/{{name}}"

    @routes.get(f"{run}/details")
    def details(subscription: Name, group: Name, workspace: Name, name: Name, request: Request) -> Told:
        row, told = find(here, Place(subscription, group, workspace), name)
        if row is None:
            return _of_unrun(told)
        who = request.scope["principal"].subject
        ended = row.job.state.terminal
        first = followers.first(who, row.job.id, here.world.clock.now(), ended=ended)
        found = _run(here, row) | {"logFiles": _logs(here, here.base(request), row)}
        said = [*row.notes]
        if status(row) == "Canceled" and (reason := why(row)):
            said.append(reason)  # the SDK shows the error of a failed job only
        if said:
            found["warnings"] = [{"source": "Mayfly", "message": one} for one in said]
        return {**found, "status": "Finalizing"} if ended and first and found["logFiles"] else found

    @routes.get(run)
    def show(subscription: Name, group: Name, workspace: Name, name: Name) -> Told:
        row, told = find(here, Place(subscription, group, workspace), name)
        return _of_unrun(told) if row is None else _run(here, row)

    @routes.post(f"{HISTORY}/rundata")
    def data(subscription: Name, group: Name, workspace: Name, ask: Annotated[Told, Body()], request: Request) -> Told:
        name = str(ask.get("runId", ""))
        row, told = find(here, Place(subscription, group, workspace), name)
        if row is None:
            return {"runMetadata": _of_unrun(told)}
        kind = _folder(request.headers.get("user-agent", ""))
        made = {one: {"assetId": _asset(name, one), "type": kind} for one in outputs.lying(here.world, row)}
        return {"runMetadata": _run(here, row) | {"outputs": made}}

    @routes.post(f"/data/v1.0{WS}/dataversion/batchGetResolvedUris")
    def uris(subscription: Name, group: Name, workspace: Name, ask: Annotated[Told, Body()]) -> Told:
        """Where the outputs lie that `rundata` named; what is not known is left out."""
        place = Place(subscription, group, workspace)
        asked = [str(one) for one in ask.get("values") or ()]
        return {"values": {one: found for one in asked if (found := _resolved(here, place, one)) is not None}}

    @routes.get(f"{run}/children")
    def children(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        request: Request,
        top: Annotated[int | None, Query(alias="$top", ge=1)] = None,
        skip: Annotated[str, Query(alias="$skip")] = "",
    ) -> Told:
        place = Place(subscription, group, workspace)
        if find(here, place, name)[0] is None:
            return {"value": []}
        most = here.most(top)
        found = jobs.rows(here.world, place, most + 1, skip or None, "all", parent=name)
        value = [_run(here, row) for row in found[:most]]
        more = len(found) > most and (top is None or top > most)
        return page(value, here.next(request, found[most - 1].name, top and top - most) if more else None)

    @routes.get(f"{run}/serviceinstances/{{node}}")
    def instances(subscription: Name, group: Name, workspace: Name, name: Name, node: str) -> Told:
        find(here, Place(subscription, group, workspace), name)
        return {"instances": {}}

    @routes.patch(f"{HISTORY}/experiments/{{experiment}}/runs/{{name}}")
    def change(
        subscription: Name, group: Name, workspace: Name, experiment: str, name: Name, ask: Annotated[Told, Body()]
    ) -> Told:
        place = Place(subscription, group, workspace)
        row, _told = find(here, place, name)
        if row is None:
            raise Invalid(NOT_YET, f"The job '{name}' is of a type that does not run yet; it does not change.")
        hidden = ask.get("hidden")
        if isinstance(hidden, bool) and hidden != row.archived:
            jobs.archive(here.world, place, name, archived=hidden)
        update = JobUpdate(
            display_name=ask.get("displayName"),
            description=ask.get("description"),
            tags=dict(labels_of(ask.get("tags"))),
            properties={k: v for k, v in labels_of(ask.get("properties")).items() if not k.startswith("mayfly.")},
        )
        jobs.update(here.world, place, name, update)
        found, _ = find(here, place, name)
        return _run(here, found or row)

    @routes.get(f"{capabilities.PREFIX}/{{job}}/{{file:path}}")
    def log(job: str, file: str, se: str, sig: str) -> Response:
        world = here.world
        capabilities.check(world.tokens, job, file, se, sig, world.clock.now())
        if file == steplogs.NAME:
            return PlainTextResponse(_of_steps(world, job))
        found = logs.find(world, job, file)
        return StreamingResponse(logs.chunks(world, job, found, 0), media_type="text/plain; charset=utf-8")

    return routes


def _logs(here: Here, base: str, row: JobRow) -> dict[str, str]:
    world = here.world
    now = world.clock.now()
    names = [one.name for one in logs.files(world, row.ran_as)]
    if steplogs.has(row):
        names.append(steplogs.NAME)
    return {name: base + capabilities.path_of(world.tokens, row.ran_as, name, now) for name in names}


def _of_steps(world: World, job: str) -> str:
    row = world.store.read(lambda connection: rows.by_id(connection, job))
    return "" if row is None else steplogs.text(world, row)


def _asset(job: str, output: str) -> str:
    """By what an output's place can be asked for."""
    return f"azureml://jobs/{job}/outputs/{output}"


def _folder(client: str) -> str:
    """How the client spells the type of a folder: before 1.35 as Azure's older protocol, since then as job files do. It
    takes no notice of any other."""
    found = _VERSION.search(client)
    old = found is not None and (int(found[1]), int(found[2])) < (1, 35)
    return "UriFolder" if old else "uri_folder"


def _resolved(here: Here, place: Place, asset: str) -> Told | None:
    try:
        reference = references.parse(asset)
        row = find(here, place, reference.job)[0] if isinstance(reference, JobOutputReference) else None
    except (Invalid, NotFound):
        return None
    if not isinstance(reference, JobOutputReference):
        return None
    found = None if row is None else outputs.lying(here.world, row).get(reference.output)
    if found is None:
        return None
    base = f"azureml://subscriptions/{place.subscription}/resourcegroups/{place.resource_group}"
    uri = f"{base}/workspaces/{place.workspace}/datastores/{found.datastore}/paths/{found.path}"
    return {"uri": uri, "type": "uri_folder"}


def _run(here: Here, row: JobRow) -> Told:
    job = row.job
    parent, root = jobs.ancestors(here.world, row)
    found: dict[str, Any] = {
        "runId": row.name,
        "runUuid": row.run,
        "rootRunId": root,
        "parentRunId": parent or None,
        "displayName": row.display_name,
        "description": row.description,
        "experimentName": row.experiment,
        "runType": "azureml.PipelineRun" if steplogs.has(row) else "azureml.ExperimentRun",
        "target": "serverless",
        "status": status(row),
        "hidden": row.archived,
        "tags": row.tags,
        "properties": row.properties,
        "createdBy": {"userName": row.submitter},
        "createdUtc": moment(job.created_at),
        "startTimeUtc": None if job.started_at is None else moment(job.started_at),
        "endTimeUtc": None if job.ended_at is None else moment(job.ended_at),
    }
    if job.cause is not None and (words := why(row)):
        found["error"] = _error(job.cause.code, words)
    return {key: value for key, value in found.items() if value is not None}


def _of_unrun(told: BodyRow | None) -> Told:
    assert told is not None
    said = properties_of(told.body)
    return {
        "runId": told.name,
        "displayName": said.get("displayName") or told.name,
        "experimentName": said.get("experimentName") or "Default",
        "status": "Failed",
        "error": _error(NOT_YET, not_yet(told)),
        "logFiles": {},
        "properties": labels_of(said.get("properties")),
    }


def _error(code: str, message: str) -> Told:
    return {"error": {"code": code, "message": message}}
