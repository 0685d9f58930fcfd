"""Submission: from what a person wrote to a job in the queue, in one unit of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from mayfly.domain.compute import ResourceRequest, Target, Tier
from mayfly.domain.environments import with_context
from mayfly.domain.job import Job, JobState, Phase
from mayfly.domain.life import Waiting, step
from mayfly.domain.outcome import Outcome, outcome
from mayfly.domain.queue import ClassKey
from mayfly.domain.quota import Owner
from mayfly.kit.errors import Conflict, Invalid
from mayfly.kit.ids import Digest, JobId
from mayfly.kit.units import size_bytes
from mayfly.services import environments, inputs, outputs, places, reuse
from mayfly.services.data import Found
from mayfly.services.environments import Wish
from mayfly.services.inputs import Source
from mayfly.services.places import Place
from mayfly.services.world import World
from mayfly.spec import job as spec
from mayfly.spec import normal
from mayfly.spec.job import CommandJob
from mayfly.store import codec, jobs, waiting
from mayfly.store import environments as environment_rows
from mayfly.store import reuse as reuse_rows
from mayfly.store.jobs import JobRow, Own
from mayfly.store.unit import Unit
from mayfly.store.workspaces import Workspace
from mayfly.wire.mayfly import Submission

SPOT_RETRIES = 3
"""How often a Spot job that lost its nodes goes back to the queue (semantics §8, §21.8)."""


Keep = Callable[[Unit], tuple[JobRow, bool]]
"""Keeps a job; whether it was not there before."""
Beside = Callable[[Unit, JobRow], None]
"""Keeps something else of a new job, in the same unit."""


@dataclass(frozen=True, slots=True)
class Parent:
    """Whose child a job is."""

    id: JobId
    root: JobId
    step: str
    reuse: bool = False
    """Whether it may have the results of a job that did the same, and others its own."""


@dataclass(frozen=True, slots=True)
class Understood:
    """A submission that is legal; not yet placed, not yet kept."""

    job: CommandJob
    workspace: Workspace
    request: ResourceRequest
    environment: Wish
    normal: dict[str, Any]
    notes: list[str]
    name: str
    chosen: bool
    """Whether who sent it chose the name, so that the job may be there already."""
    sources: dict[str, Source]
    targets: dict[str, outputs.Target]

    def class_key(self, submitter: str) -> ClassKey:
        return ClassKey(
            self.workspace.id,
            self.workspace.subscription,
            submitter,
            self.job.priority,
            codec.request_json(self.request),
        )


@dataclass(frozen=True, slots=True)
class Prepared(Understood):
    """Placed in principle, too."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Admitted:
    """The environment and the place that a job would have."""

    request: ResourceRequest
    environment: Wish
    outcome: Outcome
    notes: list[str]


def admit(world: World, place: Place, workspace: Workspace, submission: Submission, job: CommandJob) -> Admitted:
    """Whether there is an environment and room for it at all. Raises as `prepare`."""
    environment, request, notes = _asked(world, place, submission, job)
    decided = _placed(world, workspace, request, environment)
    return Admitted(request, environment, decided, _noted(notes, decided))


def _asked(
    world: World, place: Place, submission: Submission, job: CommandJob
) -> tuple[Wish, ResourceRequest, list[str]]:
    environment = environments.wish(world, _environment(submission), place)
    request, said = _request(world, job, submission)
    return environment, request, [*environment.notes, *([said] if said else [])]


def _placed(world: World, workspace: Workspace, request: ResourceRequest, environment: Wish) -> Outcome:
    environments.refuse_failed(environment_rows.known(world.store, environment.digest))
    owner = Owner(workspace.subscription, workspace.id)

    def decide(connection: Connection) -> Outcome:
        return outcome(request, owner, waiting.room(connection, world.fleet, dict(world.sizes)))

    return world.store.recall(("outcome", request, owner), waiting.ROOM, decide)


def prepare(world: World, place: Place, submission: Submission) -> Prepared:
    """Decide everything that can be decided without keeping anything. Raises Invalid (with every fault of the file),
    Refused (quota outcomes A, B and D)."""
    return _prepared(world, understand(world, place, submission))


def _prepared(world: World, found: Understood) -> Prepared:
    decided = _placed(world, found.workspace, found.request, found.environment)
    known = {field.name: getattr(found, field.name) for field in fields(Understood)}
    return Prepared(**{**known, "notes": _noted(found.notes, decided)}, outcome=decided)


def _noted(notes: list[str], decided: Outcome) -> list[str]:
    return [*notes, *([decided.message] if decided.message else [])]


def understand(
    world: World, place: Place, submission: Submission, standing: Mapping[str, Found] | None = None
) -> Understood:
    """As `prepare`, without a look at the fleet, or at what became of its environment."""
    job = spec.parse(submission.definition)
    workspace, made = places.create(world, place)
    environment, request, said = _asked(world, place, submission, job)
    notes = [*spec.notes(job), *said]
    if made:
        notes.append(made)
    chosen = job.name or submission.name
    name = chosen or world.ids.name()
    sources = inputs.sources(world, place, submission, job.data_inputs, standing)
    notes += [one.note for one in sources.values() if one.note]
    if world.isolation in ("none", "uid"):
        notes.append(world.isolation_note)
    return Understood(
        job=job,
        workspace=workspace,
        request=request,
        environment=environment,
        normal=normal.normalised(job, submission.uploads),
        notes=notes,
        name=name,
        chosen=bool(chosen),
        sources=sources,
        targets=outputs.targets(world, workspace, name, job.outputs),
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job as it would be kept."""

    row: JobRow
    understood: Understood


def submit(
    world: World,
    submitter: str,
    place: Place,
    submission: Submission,
    parent: Parent | None = None,
    beside: Beside | None = None,
) -> tuple[JobRow, bool]:
    """Accept a job; durable when it returns. The second value is False when the same job (same name, same definition)
    was there already; its labels are then updated. `beside` is called in the unit that keeps a new one. Raises as `prepare`, Conflict `JobNameTaken` for another
    definition, Conflict `ParentEnded` for a child that nobody waits for any more, `SameStepUnderWay` for one whose results
    will be another's, Invalid `UploadMissing`."""
    return keep(world, candidate(world, submitter, place, submission, parent), beside)


def candidate(
    world: World,
    submitter: str,
    place: Place,
    submission: Submission,
    parent: Parent | None = None,
    standing: Mapping[str, Found] | None = None,
) -> Candidate:
    """Nothing is kept yet. `standing`: as in `inputs.sources`. Raises as `understand`, Invalid `UploadMissing`."""
    prepared = understand(world, place, submission, standing)
    work = _work(world, prepared, submission)
    row = under(_row(world, submitter, submission, prepared, work), parent)
    parts = reuse.parts(prepared.normal, work, prepared.environment.digest) if parent is not None else None
    if parts is not None and parent is not None:
        row = replace(row, reuse_parts=codec.dump(parts), reuse_key=reuse.key_of(parts) if parent.reuse else None)
    return Candidate(row, prepared)


def again(world: World, found: Understood) -> Own | None:
    """The same job once more, under a fresh name; None where its name was chosen, or is said in what it does."""
    if found.chosen or found.targets:
        return None
    name = world.ids.name()
    return Own(JobId(world.ids.new("job")), name, found.job.display_name or name, world.ids.run())


def keep(world: World, found: Candidate, beside: Beside | None = None) -> tuple[JobRow, bool]:
    """As `submit`, of a candidate."""
    if found.understood.environment.tracks:
        world.mlflow.prewarm()  # a job that is likely to need it has come
    return once(world, keeping(world, found), beside)


def keeping(world: World, found: Candidate) -> Keep:
    """What keeps a candidate, once it has a place. Raises as `prepare`."""
    prepared, row = found.understood, found.row
    key = row.reuse_key
    done = key is not None and world.store.read(lambda c: reuse_rows.was_done(c, row.workspace, key))
    if not done:  # what is done already asks for no room
        row = placed(world, found)
    environment = owned(found)

    def write(unit: Unit) -> tuple[JobRow, bool]:
        existing = jobs.by_name(unit.connection, row.workspace, row.name) if prepared.chosen else None
        if existing is not None:
            return same(unit, existing, row), False
        check_parent(unit, row)
        taken = reuse.taken_over(world, unit, row, row.job.created_at)
        if taken is not None:
            inputs.trace(unit, taken, prepared.sources, row.job.created_at)
            return taken, True
        if done:  # and was given up since: it is looked at anew
            raise Conflict("SameStepUnderWay", "What the same step had made has just been given up.")
        anew = environment.keep(unit, world)
        kept = _queued(unit, row, anew=anew)
        sequence = jobs.add(unit, kept)
        inputs.trace(unit, row, prepared.sources, row.job.created_at)
        unit.passing("job accepted")
        return replace(kept, sequence=sequence), True

    return write


Decided = dict[tuple[ResourceRequest, str], Outcome]
"""What was decided for jobs of one workspace, by what they ask for and by their environments."""


def placed(world: World, found: Candidate, decided: Decided | None = None) -> JobRow:
    """The candidate's row, with what there is to say of its place. `decided`: at the same moment, for others; it is kept.
    Raises as `prepare`."""
    job, decided = found.understood, {} if decided is None else decided
    asked = (job.request, job.environment.digest)
    if asked not in decided:
        decided[asked] = _placed(world, job.workspace, job.request, job.environment)
    return replace(found.row, notes=_noted(job.notes, decided[asked]))


def owned(found: Candidate) -> Wish:
    """Its environment, with whose quota a build of it holds."""
    row = found.row
    owner = environment_rows.Owner(row.workspace, row.subscription, row.submitter, row.priority)
    return replace(found.understood.environment, owner=owner)


def _queued(unit: Unit, row: JobRow, *, anew: bool) -> JobRow:
    """Behind those of its class where they wait already, as they do; else the scheduler has to look. `anew`: what its
    environment needs may not be made yet."""
    why = None if anew else waiting.joined(unit, row.class_key)
    if why is None:
        unit.wake("scheduling")
        return row
    return replace(row, job=step(row.job, Waiting(why.phase), row.job.created_at))


def once(world: World, keep: Keep, beside: Beside | None) -> tuple[JobRow, bool]:
    """Keep a job by that, and what is to be kept beside a new one."""

    def whole(unit: Unit) -> tuple[JobRow, bool]:
        row, created = keep(unit)
        if created and beside is not None:
            beside(unit, row)
        return row, created

    try:
        return world.store.write(whole, patient=True)
    except IntegrityError:  # two servers accepted one name at once: the other one's is there now
        return world.store.write(whole, patient=True)


def under(row: JobRow, parent: Parent | None) -> JobRow:
    return row if parent is None else replace(row, parent=parent.id, root=parent.root, step=parent.step)


def check_parent(unit: Unit, row: JobRow) -> None:
    """In the unit that keeps a child: its parent still wants it. Raises Conflict `ParentEnded`."""
    if row.parent is None:
        return
    if jobs.lock_state(unit, row.parent) is not JobState.RUNNING:
        raise Conflict("ParentEnded", f"The job that wanted '{row.name}' is not running any more.")
    unit.passing("step started")


def same(unit: Unit, existing: JobRow, row: JobRow) -> JobRow:
    if existing.definition_digest != row.definition_digest:
        raise Conflict(
            "JobNameTaken",
            f"A job named '{row.name}' exists with another definition. Names of jobs are never reused.",
            remedy="Choose another name, or leave 'name' out and get a fresh one.",
            pointer="/name",
        )
    jobs.relabel(unit, existing, row.display_name, row.description, row.tags, row.properties)
    return replace(
        existing,
        display_name=row.display_name,
        description=row.description,
        tags=row.tags,
        properties=row.properties,
    )


def _environment(submission: Submission) -> Any:
    sent = submission.uploads.get(environments.CONTEXT)
    return with_context(submission.definition["environment"], sent)


def _request(world: World, job: CommandJob, submission: Submission) -> tuple[ResourceRequest, str | None]:
    target, said = Target.SERVERLESS, None
    name = job.target_name
    if name == "local":
        target = Target.LOCAL
    elif name not in (None, "serverless"):
        said = f"compute '{name}' is not known here: the job runs on serverless compute instead."
    sent = sum(_tree_bytes(world, digest) for digest in submission.uploads.values())
    return (
        ResourceRequest(
            instance_type=job.resources.instance_type,
            node_count=job.resources.instance_count,
            tier=Tier.SPOT if job.tier == "Spot" else Tier.STANDARD,
            target=target,
            disk_gib=_disk(sent),
        ),
        said,
    )


def _disk(sent: int) -> float | None:
    """What is known to be needed, in whole GiB so that classes stay few; None below 1 GiB."""
    return None if sent < 1 << 30 else float((sent >> 30) + 1)


def _tree_bytes(world: World, digest: str) -> int:
    if world.content.missing([Digest(digest)]):
        raise Invalid(
            "UploadMissing",
            f"The files of this job ({digest[:12]}…) are not on the server.",
            remedy="Submit again; what is missing is then sent.",
        )
    return sum(entry.size for entry in world.trees.read(world.content, digest).entries)


def _work(world: World, prepared: Understood, submission: Submission) -> dict[str, Any]:
    """What every rank will be told."""
    job, uploads = prepared.job, submission.uploads
    if job.code is not None and "/code" not in uploads:
        raise Invalid("UploadMissing", "The code folder was not sent.", pointer="/code")
    return {
        "command": job.command,
        "code": uploads.get("/code"),
        "literals": job.literals,
        "inputs": [inputs.told(name, source) for name, source in prepared.sources.items()],
        "sources": inputs.kept(prepared.sources),
        "outputs": [outputs.told(name, output, prepared.targets[name]) for name, output in job.outputs.items()],
        "targets": {name: asdict(target) for name, target in prepared.targets.items()},
        "variables": {
            key: spec.render_literal(value) for key, value in job.environment_variables.items() if value is not None
        },
        "distribution": _distribution(job),
        "timeout_s": None if job.limits.timeout is None else float(job.limits.timeout),
        "shm_mib": max(1, size_bytes(job.resources.shm_size) >> 20) if job.resources.shm_size else 2048,
    }


def _distribution(job: CommandJob) -> dict[str, Any]:
    given, nodes = job.distribution, job.resources.instance_count
    if given is None:
        return {"kind": "none"}
    if given.type == "tensorflow":
        return {
            "kind": "tensorflow",
            "workers": given.worker_count or nodes,
            "parameter_servers": given.parameter_server_count,
        }
    return {"kind": "pytorch", "processes": job.processes_per_node}


def _row(world: World, submitter: str, submission: Submission, prepared: Understood, work: dict[str, Any]) -> JobRow:
    job, now = prepared.job, world.clock.now()
    name = prepared.name
    life = Job(
        id=JobId(world.ids.new("job")),
        node_count=prepared.request.node_count,
        created_at=now,
        phase_since=now,
        phase=Phase.VALIDATE,
        retries_left=SPOT_RETRIES if prepared.request.tier is Tier.SPOT else 0,
    )
    return JobRow(
        sequence=0,
        workspace=prepared.workspace.id,
        subscription=prepared.workspace.subscription,
        name=name,
        type="command",
        display_name=job.display_name or name,
        description=job.description,
        experiment=job.experiment_name or submission.working_folder_name or "Default",
        tags=labels(job.tags),
        properties=labels(job.properties) | git_labels(submission),
        submitter=submitter,
        definition_digest=normal.definition_digest(prepared.normal),
        body=submission.model_dump_json(),
        spec=codec.dump(prepared.normal),
        work=codec.dump(work),
        notes=prepared.notes,
        request=codec.request_json(prepared.request),
        class_key=codec.class_text(prepared.class_key(submitter)),
        priority=job.priority,
        environment=prepared.environment.digest,
        run=world.ids.run(),
        explanation=None,
        job=life,
    )


def labels(given: Mapping[str, Any]) -> dict[str, str]:
    return {key: spec.render_literal(value) for key, value in given.items() if value is not None}


def git_labels(submission: Submission) -> dict[str, str]:
    """Where the code came from, as properties."""
    git = submission.git
    if git is None:
        return {}
    found = {
        "azureml.git.repository_uri": git.repository,
        "azureml.git.branch": git.branch,
        "azureml.git.commit": git.commit,
        "azureml.git.dirty": str(git.dirty) if git.commit else None,
    }
    return {key: value for key, value in found.items() if value}
