"""What a rank is told, made from the rows each time; for one fence it is always the same."""

from __future__ import annotations

from sqlalchemy import Connection

from mayfly.domain.job import JobState
from mayfly.domain.placement import rank_amounts
from mayfly.services.tokens import Principal
from mayfly.services.world import World
from mayfly.store import checkpoints, codec, environments, workspaces
from mayfly.store.attempts import Attempt, RankRow
from mayfly.store.jobs import JobRow
from mayfly.wire import agent

_BEFORE = (JobState.PROVISIONING, JobState.PREPARING)


def fence_of(attempt: Attempt) -> agent.Fence:
    return agent.Fence(job=attempt.job, attempt=attempt.attempt, epoch=attempt.epoch)


def attempt_subject(fence: agent.Fence) -> str:
    return f"{fence.job}/{fence.attempt}/{fence.epoch}"


def assignment(
    world: World, connection: Connection, row: JobRow, attempt: Attempt, rank: RankRow
) -> agent.Assignment | None:
    """None while the environment has no plan yet."""
    environment = environments.get(connection, row.environment)
    if environment is None or environment.plan is None:
        return None
    if environment.state == "wanted" and row.job.state in _BEFORE:  # another lock is looked for: that one is told
        return None
    fence = fence_of(attempt)
    work = codec.load(row.work)
    amount = rank_amounts(attempt.placement)[rank.rank]
    place = workspaces.get(connection, row.workspace)
    return agent.Assignment(
        fence=fence,
        token=world.tokens.issue(Principal("attempt", attempt_subject(fence))),
        name=row.name,
        rank=rank.rank,
        node_count=attempt.placement.node_count,
        instance_type=attempt.placement.instance_type.name,
        command=work["command"],
        code=work["code"],
        environment=environment.plan,
        literals=work["literals"],
        inputs=tuple(agent.DataInput(**one) for one in work["inputs"]),
        outputs=tuple(agent.NamedOutput(**one) for one in work["outputs"]),
        variables=work["variables"],
        distribution=agent.Distribution(**work["distribution"]),
        limits=agent.Limits(
            cores=max(1, amount.cores),
            memory_mib=max(64, amount.memory_mib),
            gpus=tuple(sorted(amount.gpus)),
            timeout_s=work["timeout_s"],
            shm_mib=work["shm_mib"],
        ),
        tracking=agent.Tracking(run=row.run, experiment=row.experiment),
        restore={
            one.name: one.tree
            for one in checkpoints.newest(connection, attempt.job, attempt.attempt - 1)
            if one.rank == rank.rank
        },
        workspace={
            "subscription": place.subscription,
            "resource_group": place.resource_group,
            "workspace": place.name,
        },
    )
