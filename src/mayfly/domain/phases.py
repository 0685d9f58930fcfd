"""Every second of a job's life, by phase (promise 8)."""

from __future__ import annotations

from mayfly.domain.job import Job, Phase, open_spans
from mayfly.kit.clock import Millis

Span = tuple[Phase, int, bool]
"""A phase, its milliseconds so far over all attempts, and whether it goes on."""


def spans(job: Job, now: Millis) -> tuple[Span, ...]:
    """One span for each phase the job has been in, in the order of a job's life. They add up to `ended_at` (else `now`,
    or the last moment known where that is later) less `created_at`. While a node is silent its time counts as not
    responding, and both spans are open; an ended job has none that is open."""
    total = dict(job.phases)
    going: set[Phase] = set()
    if not job.state.terminal:
        for phase, span in open_spans(job, now):
            total[phase] = total.get(phase, 0) + span
            going.add(phase)
    return tuple((phase, total[phase], phase in going) for phase in Phase if phase in total)


CAUSES: dict[Phase, str] = {
    Phase.VALIDATE: "the job was checked, and its environment looked up",
    Phase.QUOTA: "other jobs used the quota",
    Phase.CAPACITY: "other jobs used the machines, or were before it",
    Phase.PROVISION: "nodes were created or woken",
    Phase.ENVIRONMENT: "packages were resolved and installed",
    Phase.INPUTS: "code and inputs were brought to the node",
    Phase.START: "the nodes waited for each other",
    Phase.RUN: "the command ran",
    Phase.OUTPUTS: "outputs and logs were collected",
    Phase.RELEASE: "the nodes were given back",
    Phase.RETRY_WAIT: "an attempt was lost and the job put back in the queue",
    Phase.CANCELLING: "a cancel was being carried out",
    Phase.NOT_RESPONDING: "a node was silent",
}
"""What a phase's seconds were for, in words."""
