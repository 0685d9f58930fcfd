"""Scripts as users write them, with the unmodified MLflow client, through the door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mayfly.domain.job import JobState
from mayfly.domain.tracking import RunRole
from mayfly.kit.clock import Millis

ENDED = Millis(1_700_000_999_000)


def test_plain_logging_lands_in_the_jobs_run(world, tmp_path: Path):
    job = world.job()
    done = world.run_script(
        job,
        """
import mlflow, os
import matplotlib.pyplot as plt
run = os.environ["MLFLOW_RUN_ID"]
mlflow.log_param("rate", 0.1)
mlflow.log_metric("loss", 0.5, step=1)
mlflow.log_metric("loss", 0.25, step=2)
mlflow.set_tags({"team": "blue", "colour": "ä"})
mlflow.log_text("hello", "folder/a b%20c.txt")
mlflow.log_dict({"run": run}, "run.json")
assert mlflow.active_run().info.run_id == run, mlflow.active_run().info
assert run in mlflow.get_artifact_uri(), mlflow.get_artifact_uri()
client = mlflow.MlflowClient()
assert [m.value for m in client.get_metric_history(run, "loss")] == [0.5, 0.25]
figure, axes = plt.subplots()
axes.plot([1, 2])
mlflow.log_figure(figure, "plot.png")
listed = {f.path for f in client.list_artifacts(run)}
assert listed == {"folder", "run.json", "plot.png"}, listed
path = mlflow.artifacts.download_artifacts(run_id=run, artifact_path="plot.png", dst_path=".")
assert open(path, "rb").read(4) == b"\\x89PNG"
assert mlflow.artifacts.load_text(f"runs:/{run}/folder/a b%20c.txt") == "hello"
assert mlflow.artifacts.load_dict(f"runs:/{run}/run.json") == {"run": run}
found = mlflow.search_runs(experiment_names=["iris"], filter_string=f"attributes.run_id = '{run}'", output_format="list")
assert [r.info.run_id for r in found] == [run]
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert world.rows.metrics(job.job) == {"loss": [0.5, 0.25]}
    assert world.rows.params(job.job) == {"rate": "0.1"}
    assert world.rows.tags(job.job) == {"team": "blue", "colour": "ä"}
    world.feeder.finish(job, JobState.COMPLETED, ENDED)
    kept = world.behind(job.run)
    assert kept["info"]["run_id"] != job.run
    assert kept["info"]["status"] == "FINISHED"
    assert kept["info"]["end_time"] == ENDED
    tags = {tag["key"]: tag["value"] for tag in kept["data"]["tags"]}
    assert (tags["mlflow.runName"], tags["mlflow.user"], tags["mayfly.run"]) == (job.name, "ada", job.run)
    assert "secret-of-the-job" not in str(kept)


def test_a_steps_run_stands_below_its_pipelines(world, tmp_path: Path):
    above = world.job()
    step = replace(world.job(), parent=above)
    world.jobs[step.name] = step
    done = world.run_script(step, "import mlflow; mlflow.log_metric('loss', 0.5)", tmp_path)
    assert done.returncode == 0, done.stderr
    world.feeder.finish(step, JobState.COMPLETED, ENDED)
    world.feeder.finish(above, JobState.COMPLETED, ENDED)
    outer, inner = world.behind(above.run), world.behind(step.run)
    tags = {tag["key"]: tag["value"] for tag in inner["data"]["tags"]}
    assert tags["mlflow.parentRunId"] == outer["info"]["run_id"]
    assert (outer["info"]["status"], inner["info"]["status"]) == ("FINISHED", "FINISHED")


def test_autolog_and_what_is_logged_after_it(world, tmp_path: Path):
    job = world.job()
    done = world.run_script(
        job,
        """
import mlflow, os, warnings
run = os.environ["MLFLOW_RUN_ID"]
mlflow.sklearn.autolog()
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
LogisticRegression(max_iter=500, C=0.5).fit(X, y)
mlflow.log_metric("accuracy", 0.97)
client = mlflow.MlflowClient()
own = client.get_run(run)
assert own.data.params["C"] == "0.5", own.data.params
assert "training_score" in own.data.metrics, own.data.metrics
assert mlflow.active_run().data.tags["mlflow.parentRunId"] == run
models = mlflow.search_logged_models(experiment_ids=[own.info.experiment_id], output_format="list")
(mine,) = [m for m in models if m.source_run_id == run]
assert mlflow.sklearn.load_model(f"models:/{mine.model_id}").C == 0.5
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    metrics = world.rows.metrics(job.job)
    assert metrics["accuracy"] == [0.97]
    assert metrics["training_score"][0] > 0.9
    assert world.rows.params(job.job)["C"] == "0.5"
    assert [run.role for run in world.rows.runs_of(job.job)] == [RunRole.JOB, RunRole.STRAY]


def test_start_run_and_nested_runs(world, tmp_path: Path):
    job = world.job("nested")
    done = world.run_script(
        job,
        """
import mlflow, os
run = os.environ["MLFLOW_RUN_ID"]
with mlflow.start_run() as parent:
    assert parent.info.run_id == run
    mlflow.log_metric("outer", 1)
    with mlflow.start_run(nested=True, run_name="inner") as child:
        assert child.info.run_id != run
        assert child.data.tags["mlflow.parentRunId"] == run, child.data.tags
        assert child.info.experiment_id == parent.info.experiment_id
        mlflow.log_metric("inner", 2)
os._exit(0)
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert world.rows.metrics(job.job) == {"outer": [1.0]}
    assert [run.role for run in world.rows.runs_of(job.job)] == [RunRole.JOB, RunRole.CHILD]


def test_a_failed_script_is_failed_whatever_mlflow_says(world, tmp_path: Path):
    job = world.job("failing")
    script = """
import mlflow, sys
mlflow.log_metric("loss", float("nan"))
info = mlflow.active_run().info
mlflow.MlflowClient().create_run(info.experiment_id, tags={"mlflow.parentRunId": info.run_id})
sys.exit(3)
"""
    done = world.run_script(job, script, tmp_path)
    assert done.returncode == 3, done.stderr
    assert world.behind(job.run)["info"]["status"] == "FINISHED"  # MLflow's own exit hook says so
    world.feeder.finish(job, JobState.FAILED, ENDED)
    world.feeder.finish(job, JobState.FAILED, ENDED)
    runs = world.rows.runs_of(job.job)
    assert len(runs) == 2
    assert [world.behind(run.run)["info"]["status"] for run in runs] == ["FAILED", "FAILED"]
    (loss,) = world.rows.metrics(job.job)["loss"]
    assert loss != loss
