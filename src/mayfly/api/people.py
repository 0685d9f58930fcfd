"""Routes of `/mayfly/v1`: unwrap, one call, wrap."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from mayfly.api.bodies import MOST_UPLOADS, packed, read_body, tree_response, unpack
from mayfly.api.straight import Door, is_json
from mayfly.api.streams import Streams
from mayfly.api.workspace import LONGEST_NAME, WS, Name, user
from mayfly.kit.errors import Invalid
from mayfly.services import batches, content, explanations, jobs, logs, quotas, results, submissions
from mayfly.services.pages import Pages
from mayfly.services.places import Place
from mayfly.services.stopping import Stopping
from mayfly.services.views import accepted_view
from mayfly.services.world import World
from mayfly.store.jobs import Which
from mayfly.wire import mayfly as wire


def router(world: World, server_view: Callable[[], wire.ServerView], stop: Stopping, pages: Pages) -> APIRouter:
    routes = APIRouter()
    streams = Streams(world)

    @routes.get("/mayfly/v1/server")
    def server() -> wire.ServerView:
        return server_view()

    @routes.post("/mayfly/v1/server/down")
    def server_down(ask: wire.DownAsk) -> wire.DownView:
        return stop.down(ask.mode)

    @routes.post(f"{WS}/jobs", status_code=201, responses={200: {"model": wire.JobView}})
    def create_job(
        subscription: Name, group: Name, workspace: Name, ask: wire.Submission, request: Request, response: Response
    ) -> wire.JobView:
        created, view = _accept(world, stop, user(request), Place(subscription, group, workspace), ask)
        response.status_code = 201 if created else 200
        return view

    @routes.post(f"{WS}/jobs:batch", status_code=201)
    def create_jobs(
        subscription: Name, group: Name, workspace: Name, ask: wire.Batch, request: Request
    ) -> wire.BatchView:
        stop.check_accepting()
        found = batches.accept(world, user(request), Place(subscription, group, workspace), ask.jobs)
        return wire.BatchView(names=[name for name, _ in found], created=sum(created for _, created in found))

    @routes.post(f"{WS}/jobs:validate")
    def validate(subscription: Name, group: Name, workspace: Name, ask: wire.Submission) -> wire.ValidationView:
        return wire.ValidationView(notes=submissions.notes(world, Place(subscription, group, workspace), ask))

    @routes.post(f"{WS}/jobs:plan")
    def plan(subscription: Name, group: Name, workspace: Name, ask: wire.Submission, request: Request) -> wire.PlanView:
        return submissions.planned(world, user(request), Place(subscription, group, workspace), ask)

    @routes.get(f"{WS}/jobs")
    def list_jobs(
        subscription: Name,
        group: Name,
        workspace: Name,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: str | None = None,
        state: str | None = None,
        which: Which = "active",
        parent: str | None = None,
    ) -> wire.JobPage:
        states = [one.strip() for one in state.split(",")] if state else None
        return jobs.page(world, Place(subscription, group, workspace), limit, after, states, which, parent)

    @routes.get(f"{WS}/jobs/{{name}}")
    def show_job(subscription: Name, group: Name, workspace: Name, name: Name) -> wire.JobView:
        return jobs.show(world, Place(subscription, group, workspace), name)

    @routes.post(f"{WS}/jobs/{{name}}/web")
    def web(subscription: Name, group: Name, workspace: Name, name: Name, request: Request) -> wire.WebLink:
        link = pages.link(user(request), Place(subscription, group, workspace), name)
        return wire.WebLink(url=str(request.base_url).rstrip("/") + link)

    @routes.get(f"{WS}/jobs/{{name}}/explanation")
    def explain(subscription: Name, group: Name, workspace: Name, name: Name) -> wire.ExplanationView:
        return explanations.explain(world, Place(subscription, group, workspace), name)

    @routes.post(f"{WS}/jobs/{{name}}/cancel")
    def cancel(
        subscription: Name, group: Name, workspace: Name, name: Name, ask: wire.CancelAsk, request: Request
    ) -> wire.JobView:
        return jobs.cancel(world, Place(subscription, group, workspace), name, user(request), ask.reason)

    @routes.post(f"{WS}/jobs/{{name}}/retry", status_code=201)
    def retry(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        request: Request,
        ask: wire.RetryAsk | None = None,
    ) -> wire.JobView:
        stop.check_accepting()
        called = ask.name if ask is not None else ""
        row = submissions.again(world, user(request), Place(subscription, group, workspace), name, called)
        return accepted_view(world, row)

    @routes.post(f"{WS}/jobs/{{name}}/archive")
    def archive(subscription: Name, group: Name, workspace: Name, name: Name) -> wire.JobView:
        return jobs.archive(world, Place(subscription, group, workspace), name, archived=True)

    @routes.post(f"{WS}/jobs/{{name}}/restore")
    def restore(subscription: Name, group: Name, workspace: Name, name: Name) -> wire.JobView:
        return jobs.archive(world, Place(subscription, group, workspace), name, archived=False)

    @routes.patch(f"{WS}/jobs/{{name}}")
    def update(subscription: Name, group: Name, workspace: Name, name: Name, ask: wire.JobUpdate) -> wire.JobView:
        return jobs.update(world, Place(subscription, group, workspace), name, ask)

    @routes.get(f"{WS}/jobs/{{name}}/stream")
    def stream(
        subscription: Name, group: Name, workspace: Name, name: Name, offsets: str | None = None
    ) -> StreamingResponse:
        row = jobs.find(world, Place(subscription, group, workspace), name)
        return StreamingResponse(
            streams.follow(row.job.id, _offsets(offsets)),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.get(f"{WS}/jobs/{{name}}/logs")
    def list_logs(subscription: Name, group: Name, workspace: Name, name: Name) -> wire.LogPage:
        row = jobs.find(world, Place(subscription, group, workspace), name)
        found = logs.files(world, row.ran_as)
        return wire.LogPage(logs=[wire.LogView(file=one.name, size=one.size, sealed=one.sealed) for one in found])

    @routes.get(f"{WS}/jobs/{{name}}/logs/{{file:path}}")
    def read_log(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        file: str,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> StreamingResponse:
        row = jobs.find(world, Place(subscription, group, workspace), name)
        log = logs.find(world, row.ran_as, file)
        return StreamingResponse(logs.chunks(world, row.ran_as, log, offset), media_type="application/octet-stream")

    @routes.get(f"{WS}/jobs/{{name}}/outputs")
    def outputs(subscription: Name, group: Name, workspace: Name, name: Name) -> list[wire.OutputView]:
        return results.outputs(world, Place(subscription, group, workspace), name)

    @routes.get(f"{WS}/jobs/{{name}}/metrics")
    def metrics(
        subscription: Name,
        group: Name,
        workspace: Name,
        name: Name,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
        key: str = "",
    ) -> list[wire.MetricView]:
        return results.metrics(world, Place(subscription, group, workspace), name, after, limit, key)

    @routes.get(f"{WS}/sizes")
    def sizes(subscription: Name, group: Name, workspace: Name) -> list[wire.SizeView]:
        return quotas.sizes(world, Place(subscription, group, workspace))

    @routes.get(f"{WS}/quotas")
    def list_quotas(subscription: Name, group: Name, workspace: Name) -> list[wire.QuotaView]:
        return quotas.quotas(world, Place(subscription, group, workspace))

    @routes.put(f"{WS}/quotas")
    def update_quota(subscription: Name, group: Name, workspace: Name, ask: wire.QuotaUpdate) -> list[wire.QuotaView]:
        return quotas.update(world, Place(subscription, group, workspace), ask)

    @routes.get(f"{WS}/usage")
    def usage(subscription: Name, group: Name, workspace: Name) -> list[wire.UsageView]:
        return quotas.usage(world, Place(subscription, group, workspace))

    _content(routes, world)
    return routes


def submission(world: World, stop: Stopping) -> Door:
    """As the route that creates a job, for who sends JSON of its form."""

    def accept(who: str, place: Place, body: bytes) -> Response | None:
        try:
            ask = wire.Submission.model_validate_json(body)
        except ValidationError:
            return None
        created, view = _accept(world, stop, who, place, ask)
        return Response(view.model_dump_json(), 201 if created else 200, media_type="application/json")

    async def door(request: Request) -> Response | None:
        place = Place(*(request.path_params[part] for part in ("subscription", "group", "workspace")))
        if not is_json(request) or any(len(part) > LONGEST_NAME for part in astuple(place)):
            return None
        return await to_thread.run_sync(accept, user(request), place, await request.body())

    return door


def _accept(world: World, stop: Stopping, who: str, place: Place, ask: wire.Submission) -> tuple[bool, wire.JobView]:
    stop.check_accepting()
    row, created = submissions.accept(world, who, place, ask)
    return created, accepted_view(world, row)


def _content(routes: APIRouter, world: World) -> None:
    @routes.post(f"{WS}/content/missing")
    async def missing(request: Request) -> Response:
        return await read_body(request, lambda body: content.missing_answer(world, body))

    uploads = CapacityLimiter(MOST_UPLOADS)  # not the nodes': a person's slow line must not hold up a job's outputs

    @routes.post(f"{WS}/content/blobs")
    async def blobs(request: Request) -> Response:
        return await unpack(request, lambda chunks: content.store_pack(world, chunks), uploads)

    @routes.post(f"{WS}/content/fetch")
    async def fetch(request: Request) -> Response:
        return await packed(request, lambda body: content.pack(world, body))

    @routes.put(f"{WS}/content/trees/{{digest}}")
    async def put_tree(digest: str, request: Request) -> Response:
        return await read_body(request, lambda body: content.put_tree(world, digest, body))

    @routes.get(f"{WS}/content/trees/{{digest}}")
    def get_tree(digest: str) -> Response:
        return tree_response(content.get_tree(world, digest))


def _offsets(text: str | None) -> dict[str, int]:
    if not text:
        return {}
    try:
        found = json.loads(text)
        return {str(file): max(0, int(offset)) for file, offset in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise Invalid("OffsetsInvalid", "'offsets' is a JSON object: file → bytes at hand.") from error
