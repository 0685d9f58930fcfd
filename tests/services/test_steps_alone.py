"""One step of a pipeline, run by itself."""

from __future__ import annotations

from typing import Any

import pytest
from flow_by_hand import WHOLE, WRITES, Flow

from mayfly.kit.errors import MayflyError
from mayfly.services import submissions
from mayfly.store import codec
from mayfly.store import jobs as rows
from mayfly.store.jobs import JobRow
from mayfly.testing.world import HERE, Scene
from mayfly.wire.mayfly import Submission


def alone(stage: Scene, step: str, former: str = "", **keys: Any) -> JobRow:
    uploads = {"/inputs/data/path": stage.upload(a=b"1")}
    ask = Submission(definition={**WHOLE, "name": None, **keys}, uploads=uploads, only=step, inputs_from=former)
    return submissions.accept(stage.world, "me", HERE, ask)[0]


def test_one_step_runs_alone_with_what_former_steps_made(stage: Scene) -> None:
    flow = Flow(stage, WHOLE, a=b"1")
    flow.run("prep", o={"x": b"1"})
    row = alone(stage, "inner.fit", "whole")
    assert (row.type, row.parent, row.experiment, row.display_name) == ("command", None, "mine", "inner/fit")
    work = codec.load(row.work)
    assert (work["literals"], work["inputs"][0]["tree"]) == ({"n": "3"}, stage.upload(x=b"1"))
    assert row.properties["mayfly.inputsFrom"] == "whole" and row.name != "whole"
    assert alone(stage, "inner", "whole", name="again").type == rows.PIPELINE
    prep = codec.load(alone(stage, "prep").work)
    assert prep["inputs"][0]["tree"] == stage.upload(a=b"1")
    ask = Submission(definition={**WHOLE, "name": None}, uploads={}, only="inner/fit", inputs_from="whole")
    assert submissions.planned(stage.world, "me", HERE, ask).instance_type


@pytest.mark.parametrize(
    ("step", "former", "code", "pointer", "said"),
    [
        ("inner/fit", "", "InputNotMade", "/jobs/inner/component/jobs/fit/inputs/d", "--inputs-from JOB"),
        ("inner", "whole", "InputNotMade", "/jobs/inner/inputs/raw", "in which it is Completed"),
        ("inner/fti", "", "StepUnknown", None, "Did you mean 'inner/fit'?"),
        ("prep/x", "", "StepUnknown", None, ""),
        ("prep", "whol", "JobNotFound", None, "Did you mean 'whole'?"),
        ("", "whole", "StepMissing", None, "--only STEP"),
    ],
)
def test_a_step_that_cannot_run_alone_says_what_would_help(
    stage: Scene, step: str, former: str, code: str, pointer: str | None, said: str
) -> None:
    Flow(stage, WHOLE, a=b"1")
    with pytest.raises(MayflyError) as raised:
        alone(stage, step, former)
    (fault,) = raised.value.all_faults()
    assert (fault.code, fault.pointer) == (code, pointer)
    assert said in (fault.remedy or "")


def test_faults_of_a_step_alone_stand_where_they_were_written(stage: Scene) -> None:
    prep = {**WRITES, "inputs": {"d": {"path": "azureml:nothing:1"}}}
    with pytest.raises(MayflyError) as raised:
        alone(stage, "prep", jobs={**WHOLE["jobs"], "prep": prep})
    assert [one.pointer for one in raised.value.all_faults()] == ["/jobs/prep/inputs/d/path"]
