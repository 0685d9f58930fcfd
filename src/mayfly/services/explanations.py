"""Why here, why not yet, and what would help: `plan` before a job, `explain` for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mayfly.domain.advice import Advice, advise
from mayfly.domain.job import JobState
from mayfly.domain.queue import Candidate, Explanation, Head, JobClass, Snapshot
from mayfly.domain.quota import LedgerLine, Owner, ledger_lines
from mayfly.domain.schedule import place_in_queue, plan
from mayfly.kit.ids import JobId
from mayfly.services import containers, quotas, reuse
from mayfly.services.graphs import sentence, step_views
from mayfly.services.jobs import find
from mayfly.services.places import Place
from mayfly.services.submit import prepare
from mayfly.services.views import phase_views, prices, problem_view, status
from mayfly.services.world import World
from mayfly.store import attempts, codec, environments, events, waiting
from mayfly.store.jobs import JobRow
from mayfly.wire import mayfly as wire

_SPECULATIVE = JobId("job_that_is_only_asked_about")


def plan_submission(world: World, submitter: str, place: Place, submission: wire.Submission) -> wire.PlanView:
    """What would happen to this job now; nothing is kept. Raises as `submit` does."""
    prepared = prepare(world, place, submission)
    view, now = quotas.snapshot(world), world.clock.now()
    key = prepared.class_key(submitter)
    last = max((head.sequence for one in view.classes for head in one.heads), default=0)
    head = Head(_SPECULATIVE, last + 1, now)
    mine = JobClass(key, prepared.request, 1, (head,))
    with_it = _with(view, mine, head)
    start = next((one for one in plan(with_it, now).starts if one.job == _SPECULATIVE), None)
    size = start.placement.instance_type if start is not None else prepared.outcome.size
    if start is not None:
        explanation = start.explanation
    else:
        explanation = plan(with_it, now).waits.get(key, prepared.outcome.explanation)
    emulated = start.placement.emulated if start is not None else prepared.outcome.emulated
    need = start.placement.capacity if start is not None else prepared.outcome.need
    price, listed = prices(size, prepared.request.node_count, prepared.request.tier)
    lines = ledger_lines(
        prepared.request, Owner(prepared.workspace.subscription, prepared.workspace.id), size, view.quotas, view.fleet
    )
    alone = replace(mine, heads=(head,))
    return wire.PlanView(
        starts_now=start is not None,
        sentence=explanation.sentence,
        instance_type=size.name,
        instance_count=prepared.request.node_count,
        job_tier=prepared.request.tier.value,
        emulated=emulated,
        price_per_hour=price,
        list_price_per_hour=listed,
        candidates=candidate_views(explanation.candidates or prepared.outcome.candidates, size.name),
        quota=ledger_views(lines),
        capacity_total=view.fleet.total.cores,
        capacity_held=view.capacity_held.cores,
        capacity_needed=need.cores,
        place_in_queue=place_in_queue(with_it, key, head.sequence),
        advice=None if start is not None else advice_view(advise(alone, with_it, now)),
        notes=prepared.notes,
    )


def explain(world: World, place: Place, name: str) -> wire.ExplanationView:
    """For a waiting, running or ended job."""
    row = find(world, place, name)
    now = world.clock.now()
    view = wire.ExplanationView(
        name=row.name,
        status=status(row.job),
        sentence="",
        candidates=[],
        error=problem_view(row.job.cause),
        phases=phase_views(row.job, now),
        capacity_total=world.fleet.total.cores,
        events=_events(world, row),
    )
    if row.job.composite:
        view.sentence = sentence(world.store.read(lambda connection: step_views(world, connection, row)))
    elif row.job.state is JobState.QUEUED:
        _explain_waiting(world, row, view)
    else:
        _explain_placed(world, row, view)
    trouble = "" if row.job.ended_at is not None else world.troubles.sentence(now)
    view.sentence = " ".join(filter(None, [view.sentence, reuse.sentence(world, row), trouble]))
    return view


def _explain_waiting(world: World, row: JobRow, view: wire.ExplanationView) -> None:
    snapshot, now = quotas.snapshot(world), world.clock.now()
    view.capacity_held = snapshot.capacity_held.cores
    built = world.store.read(lambda c: containers.wait(c, environments.get(c, row.environment)))
    if built is not None:
        view.sentence, view.missing = built, "environment"
        return
    key = codec.class_of(row.class_key)
    found = world.store.read(lambda connection: waiting.wait_of(connection, row.class_key))
    explanation = found[0] if found is not None else Explanation("It is about to be looked at.")
    view.sentence, view.missing = explanation.sentence, explanation.missing
    view.candidates = candidate_views(explanation.candidates, None)
    request = codec.request_of(row.request)
    head = Head(row.job.id, row.sequence, row.job.created_at)
    mine = next((one for one in snapshot.classes if one.key == key), None)
    if mine is None:
        return
    view.place_in_queue = place_in_queue(snapshot, key, head.sequence)
    view.advice = advice_view(advise(replace(mine, heads=(head,), waiting=1), _first(snapshot, mine, head), now))
    size = next((world.sizes.get(one.instance_type.lower()) for one in explanation.candidates), None)
    if size is not None:
        owner = Owner(row.subscription, row.workspace)
        view.quota = ledger_views(ledger_lines(request, owner, size, snapshot.quotas, snapshot.fleet))


def _first(snapshot: Snapshot, mine: JobClass, head: Head) -> Snapshot:
    """The same world with this job as the head of its class: those of its class before it are other jobs' affair."""
    others = tuple(one for one in snapshot.classes if one.key != mine.key)
    return replace(snapshot, classes=(*others, replace(mine, heads=(head,), waiting=1)))


def _explain_placed(world: World, row: JobRow, view: wire.ExplanationView) -> None:
    job = row.job
    held = quotas.snapshot(world).capacity_held
    view.capacity_held = held.cores
    if row.explanation:
        explanation = codec.explanation_of(row.explanation)
        attempt = world.store.read(lambda connection: attempts.get(connection, job.id, job.attempt))
        chosen = attempt.placement.instance_type.name if attempt is not None else None
        view.sentence = explanation.sentence
        view.candidates = candidate_views(explanation.candidates, chosen)


def _with(snapshot: Snapshot, mine: JobClass, head: Head) -> Snapshot:
    same = next((one for one in snapshot.classes if one.key == mine.key), None)
    if same is None:
        return replace(snapshot, classes=(*snapshot.classes, mine))
    joined = replace(same, waiting=same.waiting + 1, heads=(*same.heads, head))
    return replace(snapshot, classes=tuple(joined if one.key == mine.key else one for one in snapshot.classes))


def candidate_views(candidates: Sequence[Candidate], chosen: str | None) -> list[wire.CandidateView]:
    return [
        wire.CandidateView(
            instance_type=one.instance_type,
            chosen=one.instance_type == chosen,
            score=one.score,
            factors=dict(one.factors),
            reason=one.reason,
        )
        for one in candidates
    ]


def ledger_views(lines: Sequence[LedgerLine]) -> list[wire.LedgerView]:
    return [
        wire.LedgerView(
            scope=line.key.scope.split(":", 1)[0],
            family=line.key.family,
            tier=line.key.tier.value,
            limit=line.limit,
            held=line.held,
            needed=line.needed,
        )
        for line in lines
    ]


def advice_view(advice: Advice) -> wire.AdviceView:
    return wire.AdviceView(change=advice.change, sentence=advice.sentence, set=dict(advice.set))


def _events(world: World, row: JobRow) -> list[wire.EventView]:
    found = world.store.read(lambda connection: events.of(connection, row.job.id))
    return [
        wire.EventView(sequence=one.sequence, at=one.at, type=one.type, text=_event_text(one.data)) for one in found
    ]


def _event_text(data) -> str:
    parts = []
    if "to" in data:
        parts.append(f"{data['from']} → {data['to']}")
    elif "phase" in data:
        parts.append(f"phase {data['phase']}")
    if data.get("attempt"):
        parts.append(f"attempt {data['attempt']}")
    if "message" in data:
        parts.append(data["message"])
    return ", ".join(parts)
