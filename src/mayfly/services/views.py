"""Jobs as people see them: rows turned into wire shapes, in one place."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from mayfly.domain.compute import InstanceType, Placement, Price, Target, Tier
from mayfly.domain.job import Cause, Job, JobState
from mayfly.domain.phases import CAUSES, spans
from mayfly.kit.clock import Millis
from mayfly.services.graphs import sentence, step_views
from mayfly.services.world import World
from mayfly.store import attempts, checkpoints, codec, environments, jobs, results, waiting
from mayfly.store.attempts import RankRow
from mayfly.store.jobs import JobRow
from mayfly.wire import mayfly as wire


def job_view(world: World, connection: Connection, row: JobRow) -> wire.JobView:
    """With definition, outputs, metrics and use."""
    (view,), now = list_views(world, connection, [row]), world.clock.now()
    _complete(connection, row, view, now)
    if row.job.composite:
        view.steps = step_views(world, connection, row)
        view.status_reason = view.status_reason or (sentence(view.steps) if view.steps else "")
    return view


def accepted_view(world: World, row: JobRow) -> wire.JobView:
    """As `job_view`, of a job that has just been accepted: of one that is nobody's child and runs by itself nothing is known yet but
    why it waits and what its environment is, and that is remembered."""
    if row.job.attempt or row.job.composite or row.reused or row.parent is not None:
        return world.store.read(lambda connection: job_view(world, connection, row))
    view = _list_view(world, row, None, waiting.sentence(world.store, row.class_key), None)
    environment = environments.known(world.store, row.environment)
    if environment is not None:
        view.environment, view.environment_note = environment.definition["name"], environment.definition["note"]
    view.definition = codec.load(row.body)["definition"]
    return view


def list_views(world: World, connection: Connection, rows: Sequence[JobRow]) -> list[wire.JobView]:
    """What a list shows of them. What stands in other tables is read for all of them together."""
    placements = attempts.placements(connection, [(row.job.id, row.job.attempt) for row in rows if row.job.attempt])
    waits = waiting.sentences(connection, {row.class_key for row in rows if row.job.state is JobState.QUEUED})
    parents = jobs.names_of(connection, {row.parent for row in rows if row.parent is not None})
    return [
        _list_view(world, row, placements.get(row.job.id), waits.get(row.class_key, ""), parents.get(row.parent or ""))
        for row in rows
    ]


def _list_view(world: World, row: JobRow, placement: Placement | None, wait: str, parent: str | None) -> wire.JobView:
    job, now = row.job, world.clock.now()
    request = codec.request_of(row.request)
    view = wire.JobView(
        name=row.name,
        id=job.id,
        type=row.type,
        display_name=row.display_name,
        description=row.description,
        experiment_name=row.experiment,
        status=status(job),
        status_reason=_reason(row, wait),
        phase=job.phase.value,
        phase_detail=world.progress.of(job.id, job.attempt, world.epoch, job.phase.value),
        phases=phase_views(job, now),
        error=problem_view(job.cause),
        not_responding_since=None if job.state.terminal else job.suspected_since,
        submitter=row.submitter,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        compute="local" if request.target is Target.LOCAL else "serverless",
        instance_type=placement.instance_type.name if placement is not None else request.instance_type,
        instance_count=request.node_count,
        job_tier=request.tier.value,
        emulated=placement.emulated if placement is not None else False,
        attempt=job.attempt,
        tags=row.tags,
        properties=row.properties,
        notes=row.notes,
        run_id=row.run,
        archived=row.archived,
        step=row.step,
    )
    if parent is not None:
        view.parent_job_name = parent
    if placement is not None:
        view.price_per_hour, view.list_price_per_hour = prices(
            placement.instance_type, placement.node_count, placement.tier
        )
    return view


def status(job: Job) -> str:
    """Azure's word for it; NotResponding while its node is silent (promise 3)."""
    if job.suspected_since is not None and not job.state.terminal:
        return "NotResponding"
    return job.state.value


def phase_views(job: Job, now: Millis) -> list[wire.PhaseView]:
    return [
        wire.PhaseView(phase=phase.value, milliseconds=spent, open=going, cause=CAUSES[phase])
        for phase, spent, going in spans(job, now)
    ]


def prices(size: InstanceType, node_count: int, tier: Tier) -> tuple[float | None, float | None]:
    """Dollars an hour for all nodes: what it costs here, and the list price to compare with; None when unknown."""
    price: Price | None = size.prices.get(tier)
    if price is None and size.own:
        price = size.prices.get(Tier.STANDARD)
    listed = None if price is None else round(price.usd_per_hour * node_count, 4)
    return 0.0, listed


def _reason(row: JobRow, wait: str) -> str:
    if row.job.cause is not None:
        return row.job.cause.message
    if row.job.state is JobState.QUEUED:
        return wait
    return codec.sentence_of(row.explanation) if row.explanation else ""


def problem_view(cause: Cause | None) -> wire.ProblemView | None:
    return None if cause is None else wire.ProblemView(code=cause.code, message=cause.message, remedy=cause.remedy)


def _complete(
    connection: Connection,
    row: JobRow,
    view: wire.JobView,
    now: Millis,
) -> None:
    job = row.job
    ranks = attempts.ranks_of(connection, job.id, job.attempt) if job.attempt else []
    environment = environments.get(connection, row.environment)
    if environment is not None:
        view.environment = environment.definition["name"]
        view.environment_note = environment.definition["note"]
    view.isolation = next((rank.isolation for rank in ranks if rank.isolation), "")
    view.limits_enforced = list(next((rank.limits for rank in ranks if rank.isolation), ()))
    view.exit_codes = [one.code for rank in ranks for one in rank.exits]
    view.definition = codec.load(row.body)["definition"]
    attempt = attempts.get(connection, job.id, job.attempt) if any(rank.sample for rank in ranks) else None
    view.use = None if attempt is None else _use(ranks, attempt.placement)
    if row.job.attempt or row.job.composite or row.reused:  # else there cannot be any
        view.outputs = output_views(connection, row)
        view.metrics = results.last_metrics(connection, row.ran_as)
        view.params = results.labels_of(connection, row.ran_as, "param")


def output_views(connection: Connection, row: JobRow) -> list[wire.OutputView]:
    """One for each name; further ranks' folders of the same name carry their rank. Of a job that has not been collected,
    what its last checkpoint holds."""
    views = []
    job = row.job
    kept = results.outputs_of(connection, job.id, job.attempt) or checkpoints.newest(connection, job.id, job.attempt)
    for output in kept:
        name = output.name if output.rank == 0 else f"{output.name}@{output.rank}"
        path = f"azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{row.name}/"
        if row.job.composite:
            path = f"azureml://jobs/{row.name}/outputs/{name}"
        elif output.name != "default":
            path = f"azureml://datastores/workspaceblobstore/paths/azureml/{row.name}/{output.name}/"
        views.append(wire.OutputView(name=name, tree=output.tree, files=output.files, bytes=output.bytes, path=path))
    return views


def _use(ranks: list[RankRow], placement: Placement) -> wire.UseView:
    samples = [rank.sample for rank in ranks if rank.sample is not None]
    cpu = sum(one.cpu_s for one in samples)
    wall = max(one.wall_s for one in samples)
    cores = max(1, placement.capacity.cores)
    return wire.UseView(
        cpu_seconds=round(cpu, 2),
        cpu_percent=round(100 * cpu / (wall * cores), 1) if wall > 0 else 0.0,
        memory_peak_mib=round(sum(one.memory_peak_mib for one in samples), 1),
        memory_given_mib=placement.capacity.memory_mib,
        disk_mib=round(sum(one.disk_mib for one in samples), 1),
    )
