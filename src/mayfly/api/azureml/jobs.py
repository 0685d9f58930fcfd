"""Jobs of every type as resources. Command jobs and pipelines run; others are kept as they came and say that they do not
run yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from mayfly.api.azureml import code, command, computes, operations, ours, pipeline
from mayfly.api.azureml.here import WS, Here, id_of, labelled, which_of
from mayfly.api.workspace import Name, user
from mayfly.kit.errors import Conflict, Invalid, NotFound
from mayfly.services import capabilities, jobs, submissions, verbatim
from mayfly.services.pages import PREFIX as TRACKING
from mayfly.services.places import Place
from mayfly.store.azure_bodies import BodyRow
from mayfly.store.jobs import PIPELINE, JobRow, Which
from mayfly.wire.azureml.resources import Body as Told
from mayfly.wire.azureml.resources import labels_of, moment, page, properties_of, resource
from mayfly.wire.mayfly import Submission

NOT_YET = "JobTypeNotSupported"
RUN = ("command", PIPELINE)
"""Types of jobs that run by these doors."""
_UNRUN = ":"
"""No name of a job begins with it."""
ANONYMOUS = "azureml_anonymous"
"""The name of a component that is written in a step: it is shown, and no version of it is registered."""
_OURS = ("mayfly.notes", "mayfly.notRespondingSince", "mayfly.error")
"""Properties that these doors add, and take no notice of when they come back."""


def router(here: Here) -> APIRouter:
    routes = APIRouter()
    one = f"{WS}/jobs/{{name}}"

    @routes.put(one)
    def put(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        told: Annotated[Told, Body()],
        request: Request,
        response: Response,
    ) -> Told:
        found, created = accepted(here, request, Place(subscription, group, workspace), name, told)
        response.status_code = 201 if created else 200
        return found

    @routes.get(one)
    def show(subscription: Name, group: Name, workspace: Name, name: Name, request: Request) -> Told:
        return show_one(here, request, Place(subscription, group, workspace), name)

    @routes.get(f"{WS}/jobs")
    def listing(
        subscription: Name,
        group: Name,
        workspace: Name,
        request: Request,
        view: Annotated[str, Query(alias="listViewType")] = "ActiveOnly",
        skip: Annotated[str, Query(alias="$skip")] = "",
        kind: Annotated[str, Query(alias="jobType")] = "",
        tag: str = "",
        properties: str = "",
        scheduled: bool = False,
        schedule: Annotated[str, Query(alias="scheduleId")] = "",
        asset: Annotated[str, Query(alias="assetName")] = "",
    ) -> Told:
        """Those that run, newest first, then those that do not run yet, by name. What is asked for beside leaves a page
        shorter than others. No schedule and no import has made a job here."""
        if scheduled or schedule or asset:
            return page([])
        place = Place(subscription, group, workspace)
        bodies, last = _page(here, request, place, which_of(view), skip)
        shown = [one for one in bodies if _asked(one["properties"], kind, tag, properties)]
        return page(shown, here.next(request, last) if last else None)

    @routes.post(f"{one}/cancel")
    def cancel(subscription: Name, group: Name, workspace: Name, name: Name, request: Request) -> Response:
        place = Place(subscription, group, workspace)
        jobs.cancel(here.world, place, name, user(request), "")
        return operations.begun(here, request, place, "cancel", name)

    @routes.delete(one)
    def delete(subscription: Name, group: Name, workspace: Name, name: Name, request: Request) -> Response:
        place = Place(subscription, group, workspace)
        _delete(here, user(request), place, name)
        return operations.begun(here, request, place, "delete", name)

    return routes


def _page(here: Here, request: Request, place: Place, which: Which, skip: str) -> tuple[list[Told], str]:
    """What is on it, and where the next begins: at the name of a job, or of one that does not run behind a ':'."""
    world, bodies = here.world, []
    if not skip.startswith(_UNRUN):
        found = here.listed(lambda: jobs.rows(world, place, here.page + 1, skip or None, which))
        shown = found[: here.page]
        told = verbatim.named(world, place, "jobs", [row.name for row in shown]) if shown else {}
        gone = {name for name, one in told.items() if one.deleted}
        bodies = [_body(here, request, place, row, told.get(row.name)) for row in shown if row.name not in gone]
        if len(found) > len(shown):
            return bodies, shown[-1].name
        skip = _UNRUN
    room = here.page - len(bodies)
    waiting = here.listed(lambda: verbatim.unrun(world, place, skip.removeprefix(_UNRUN), room + 1))
    bodies += [_waiting(place, row) for row in waiting[:room] if _shown(row, which)]
    if len(waiting) <= room:
        return bodies, ""
    return bodies, _UNRUN + (waiting[room - 1].name if room else "")


def _asked(said: Told, kind: str, tag: str, properties: str) -> bool:
    matches = kind.lower() in ("", str(said["jobType"]).lower())
    return matches and labelled(said.get("tags") or {}, tag) and labelled(said.get("properties") or {}, properties)


def accepted(here: Here, request: Request, place: Place, name: str, told: Told) -> tuple[Told, bool]:
    """The job as it is answered, and whether it is new. Raises as `submissions.accept`."""
    here.stop.check_accepting()
    if _type(told) in RUN:
        row, kept, created = _submit(here, user(request), place, name, told)
        return _body(here, request, place, row, kept), created
    created = verbatim.find(here.world, place, "jobs", name) is None
    return _waiting(place, verbatim.keep_job(here.world, user(request), place, name, told)), created


def show_one(here: Here, request: Request, place: Place, name: str) -> Told:
    """Raises NotFound."""
    row, told = find(here, place, name)
    return _body(here, request, place, row, told) if row is not None else _waiting(place, told)  # pyright: ignore[reportArgumentType]


def find(here: Here, place: Place, name: str) -> tuple[JobRow | None, BodyRow | None]:
    """The job, and what was told of it; a job of a type that does not run has only the second. Raises NotFound."""
    told = verbatim.find(here.world, place, "jobs", name)
    if told is not None and told.deleted:
        raise NotFound("JobNotFound", f"The job '{name}' was deleted.")
    if told is not None and verbatim.job_type(told.body) not in (*RUN, ""):
        return None, told
    return jobs.find(here.world, place, name), told


def status(row: JobRow) -> str:
    """Azure's word. A silent node is no end, and the SDK takes NotResponding for one: it is said beside."""
    return row.job.state.value


def why(row: JobRow) -> str:
    """Why it failed or was canceled; '' for what did neither."""
    cause = row.job.cause if status(row) in ("Failed", "Canceled") else None
    return "" if cause is None else f"{cause.message} {cause.remedy or ''}".strip()


def not_yet(told: BodyRow) -> str:
    kind = str(properties_of(told.body).get("jobType", "of an unknown type"))
    return (
        f"Jobs of type {kind} are kept, but this server does not run them yet. Jobs of type command and pipeline run."
    )


# --- what comes -------------------------------------------------------------------------------------------------------


def _submit(here: Here, who: str, place: Place, name: str, body: Told) -> tuple[JobRow, BodyRow | None, bool]:
    """The job, what was told of it when it was new, and whether it is."""
    there = verbatim.find(here.world, place, "jobs", name)
    if there is not None and (there.deleted or verbatim.job_type(there.body) != _type(body)):
        raise verbatim.name_taken(name)
    told = properties_of(body)
    definition = (pipeline if _type(body) == PIPELINE else command).definition(name, told)
    for key in ("tags", "properties"):
        if key in definition:
            definition[key] = {one: text for one, text in labels_of(definition[key]).items() if one not in _OURS}
    _on_named_computes(here, place, definition)
    named, uploads = code.sent(here.world, told.get("codeId"), "/code")
    folder = str(told.get("experimentName") or "Default")
    ask = Submission(definition={**definition, **named}, uploads=uploads, working_folder_name=folder)
    beside = lambda unit, row: verbatim.keep_with(unit, row, body)  # noqa: E731
    row, created = submissions.accept(here.world, who, place, ask, beside=beside)
    archived = told.get("isArchived")
    if isinstance(archived, bool) and archived != row.archived:
        jobs.archive(here.world, place, name, archived=archived)
        row = replace(row, archived=archived)
    return row, verbatim.of_job(row, body) if created else there, created


def _on_named_computes(here: Here, place: Place, definition: dict[str, Any]) -> None:
    """Of the job, or of each step of a pipeline, which has the pipeline's own where it names none."""
    default = definition.get("settings", {}).get("default_compute")
    if default is not None and computes.alias(here, place, default) is not None:
        definition["settings"]["default_compute"] = computes.SERVERLESS
        for step in pipeline.below(definition):
            if step.get("type", "command") == "command":
                step.setdefault("compute", default)
    for written in (definition, *pipeline.below(definition)):
        _on_named_compute(here, place, written)


def _on_named_compute(here: Here, place: Place, definition: dict[str, Any]) -> None:
    """A cluster of that name stands for serverless with the cluster's size and tier, where the job names no other."""
    found = computes.alias(here, place, str(definition.get("compute", "")))
    if found is None:
        return
    definition["compute"] = computes.SERVERLESS
    if found["size"]:
        definition["resources"] = {"instance_type": found["size"], **definition.get("resources", {})}
    if found["spot"]:
        definition["queue_settings"] = {"job_tier": "spot", **definition.get("queue_settings", {})}


def _delete(here: Here, who: str, place: Place, name: str) -> None:
    row, told = find(here, place, name)
    if row is not None:
        if not row.job.state.terminal:
            raise Conflict(
                "JobNotEnded", f"The job '{name}' is {row.job.state.value}.", remedy="Cancel it, then delete it."
            )
        jobs.archive(here.world, place, name, archived=True)
    verbatim.keep(here.world, who, place, "jobs", name, told.body if told is not None else {}, deleted=True)


def _type(body: Mapping[str, Any]) -> str:
    kind = properties_of(body).get("jobType")
    if not isinstance(kind, str):
        raise Invalid("JobTypeMissing", "The body says no jobType.", pointer="/properties/jobType")
    return kind.lower()


# --- what is answered -------------------------------------------------------------------------------------------------


def _body(here: Here, request: Request, place: Place, row: JobRow, told: BodyRow | None) -> Told:
    """What was told, with what has become of it."""
    said = properties_of(told.body) if told is not None else _of_ours(place, row)
    properties = {**row.properties}
    if row.notes:
        properties["mayfly.notes"] = " ".join(note if note.endswith(".") else f"{note}." for note in row.notes)
    if error := why(row):
        properties["mayfly.error"] = error
    if row.job.suspected_since is not None and not row.job.state.terminal:
        properties["mayfly.notRespondingSince"] = moment(row.job.suspected_since)
    now = {
        "displayName": row.display_name,
        "description": row.description,
        "experimentName": row.experiment,
        "tags": row.tags,
        "properties": properties,
        "isArchived": row.archived,
        "status": status(row),
        "services": {**(said.get("services") or {}), **_services(here, request, row)},
        "inputs": said.get("inputs") or {},
        "outputs": said.get("outputs") or {},
    }
    id = id_of(place, "jobs", row.name)
    return resource(id, "workspaces/jobs", {**said, **now}, by=row.submitter, at=row.job.created_at)


def _services(here: Here, request: Request, row: JobRow) -> Told:
    """Where a person sees the job, and where its runs are. Without the first, clients would show an address of Azure's."""
    base = here.pages(request)
    page = base + capabilities.page_of(here.world.tokens, row.job.id, here.world.clock.now())
    return {
        "Studio": {"jobServiceType": "Studio", "endpoint": page},
        "Tracking": {"jobServiceType": "Tracking", "endpoint": f"{base}{TRACKING}/{row.workspace}/"},
    }


def _of_ours(place: Place, row: JobRow) -> Told:
    """What a body says of a job that came by another door."""
    told = Submission.model_validate_json(row.body)
    if row.type == "command":
        return ours.properties(told)
    if row.type == PIPELINE:
        return ours.pipeline(told, lambda version: id_of(place, "components", ANONYMOUS, "versions", version))
    return {"jobType": row.type.capitalize(), "jobs": {}, **ours.interface(told)}


def _waiting(place: Place, told: BodyRow) -> Told:
    said = properties_of(told.body)
    error = not_yet(told)
    properties = {**labels_of(said.get("properties")), "mayfly.error": error}
    now = {
        "status": "Failed",
        "error": {"code": NOT_YET, "message": error},
        "properties": properties,
        "services": {**(said.get("services") or {}), "Studio": {"jobServiceType": "Studio", "errorMessage": error}},
    }
    id = id_of(place, "jobs", told.name)
    return resource(id, "workspaces/jobs", {**said, **now}, by=told.created_by, at=told.created_at)


def _shown(row: BodyRow, which: Which) -> bool:
    archived = bool(properties_of(row.body).get("isArchived"))
    return which == "all" or archived == (which == "archived")
