"""The pipelines of the founding documents, letter by letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flow_by_hand import Flow

from mayfly.domain.job import JobState
from mayfly.engine.resolving import Resolving
from mayfly.kit.errors import Invalid, MayflyError
from mayfly.services import components, quotas, submissions
from mayfly.spec import document
from mayfly.testing.world import HERE, Scene
from mayfly.wire.mayfly import QuotaUpdate, Submission

FOUNDING = Path(__file__).parent / "founding"
TRAIN_AND_SCORE = (FOUNDING / "train-and-score.yml").read_text()
MALFORMED = (FOUNDING / "malformed.yml").read_text()


def sent(stage: Scene, text: str) -> Submission:
    uploads = {
        **{f"/inputs/pipeline_job_{name}_input/path": stage.upload(x=b"1") for name in ("training", "test")},
        **{f"/jobs/{name}-job/code": stage.upload(**{f"{name}.py": b"pass"}) for name in ("train", "score")},
    }
    return Submission(definition=document.load(text.encode(), "pipeline.yml").data, uploads=uploads)


def test_train_and_score_runs_once_its_sizes_have_quota(stage: Scene) -> None:
    ask = sent(stage, TRAIN_AND_SCORE)
    with pytest.raises(MayflyError) as refused:
        submissions.accept(stage.world, "me", HERE, ask)
    assert [(fault.code, fault.pointer) for fault in refused.value.all_faults()] == [
        ("NoQuotaForInstanceType", "/jobs/train-job/resources/instance_type"),
        ("NoQuotaForInstanceType", "/jobs/score-job/resources/instance_type"),
    ]
    quotas.update(stage.world, HERE, QuotaUpdate(family="standardNCFamily", limit=24))
    flow = Flow(stage, ask.definition, uploads=ask.uploads)
    Resolving(stage.world).work()
    flow.run("train-job", model_output={"model": b"m"})
    sent_on = flow.run("score-job", score_output={"score": b"s"})
    assert [(one["name"], one["tree"]) for one in sent_on["inputs"]] == [
        ("model_input", stage.upload(model=b"m")),
        ("test_data", stage.upload(x=b"1")),
    ]
    view = flow.view()
    assert (view.status, sorted(one.name for one in view.outputs)) == (
        "Completed",
        ["pipeline_job_scored_data", "pipeline_job_trained_model"],
    )
    assert flow.child("train-job").job.node_count == 2 and flow.child("score-job").job.state is JobState.COMPLETED
    assert "outputs.pipeline_job_evaluation_report: no step makes it; it stays empty" in view.notes


def test_the_malformed_one_is_refused_at_its_line_and_its_corrected_text_runs(stage: Scene) -> None:
    with pytest.raises(Invalid) as raised:
        document.load(MALFORMED.encode(), "pipeline.yml")
    assert raised.value.message.startswith("pipeline.yml:13: a second 'key:' here does not fit")
    assert raised.value.remedy == "Perhaps this is meant: line 13: '     path: ./data'; line 14: 'identity:'."
    lines = MALFORMED.splitlines()
    lines[12:14] = ["     path: ./data", "identity:"]
    train: dict[str, Any] = {
        "name": "my_train",
        "command": "echo $[[${{inputs.training_data}}]]",
        "environment": {"image": "library/python:latest"},
        "inputs": {"training_data": {"type": "uri_folder", "optional": True}},
    }
    components.create(stage.world, "me", HERE, Submission(definition={"component": train}))
    definition = document.load("\n".join(lines).encode(), "pipeline.yml").data
    flow = Flow(stage, definition, uploads={"/inputs/training_data/path": stage.upload(x=b"1")})
    flow.run("train_job")
    assert flow.view().status == "Completed"
