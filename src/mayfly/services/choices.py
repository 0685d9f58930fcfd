"""`if_else`: a job that ends at once, and whose answer says which steps run."""

from __future__ import annotations

from collections.abc import Mapping

from mayfly.domain.job import Cause
from mayfly.domain.life import Begun, ChildrenEnded
from mayfly.services import steps, values
from mayfly.services.steps import Plan
from mayfly.services.submit import Parent
from mayfly.services.world import World
from mayfly.spec import control
from mayfly.store import jobs
from mayfly.store.children import ChildRow
from mayfly.wire.mayfly import Submission


def settle(world: World, plan: Plan, name: str, children: Mapping[str, ChildRow]) -> ChildRow:
    """Keep what the condition came to. May be repeated: what it is read from never changes."""
    choice, faults = control.choice_of(plan.level, name)
    assert choice is not None and not faults, f"{name} was accepted with {faults}"
    why, answer = "", choice.condition
    if not isinstance(answer, bool):
        step = plan.level.owners.get(answer.step, answer.step)
        answer, why = values.answer_of(world, children[step], answer.output)
    cause = None if answer is not None else Cause("ConditionUnreadable", why)
    shown = {} if answer is None else {jobs.CAME_TO: str(answer).lower()}
    definition = {**plan.level.nodes[name], "name": steps.child_name(plan.row, name), "display_name": name}
    parent = Parent(plan.row.job.id, plan.parent, name)
    work = {"needs": [], "outputs": []}
    ask = Submission(definition=definition)
    row = steps.bare(world, plan.row, parent, ask, jobs.IF_ELSE, nodes=0, work=work, properties=shown)
    return steps.keep(world, row, Begun(), ChildrenEnded(cause))
