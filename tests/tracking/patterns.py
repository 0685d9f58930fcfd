"""What scripts do with MLflow, each pattern by itself: run by `test_clients` with one client after the other.

Prints the patterns that went well. What a client lacks (a package, a function that came later) is left out.
"""

import importlib.util
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

RUN = os.environ["MLFLOW_RUN_ID"]
NAME = f"model-{RUN}"
THREE = int(mlflow.__version__.split(".")[0]) >= 3
client = MlflowClient()


def have(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def another_experiment_is_refused_by_mlflow_itself() -> None:
    try:
        mlflow.set_experiment("other")
        mlflow.start_run()
    except mlflow.exceptions.MlflowException as error:
        assert "MLFLOW_RUN_ID" in str(error) or "does not match" in str(error) or "active experiment" in str(error), (
            error
        )
    else:
        raise AssertionError("it was not")
    finally:
        mlflow.set_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])


def the_first_start_run_is_the_jobs() -> None:
    os.environ["MLFLOW_RUN_ID"] = RUN  # which the refusal used up
    with mlflow.start_run(log_system_metrics=have("psutil")) as run:
        assert run.info.run_id == RUN, run.info
        mlflow.log_metrics({"loss": 0.5, "acc": 0.5}, step=1)
        mlflow.log_metric("loss", 0.25, step=2)
        mlflow.log_params({"lr": 0.1, "depth": 3})
        mlflow.set_tags({"team": "blue"})
        mlflow.log_text("hello", "notes/a b.txt")
        mlflow.log_dict({"a": 1}, "d.json")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("one", "two"):
                Path(folder, name).write_text(name)
            mlflow.log_artifact(str(Path(folder, "one")))
            mlflow.log_artifacts(folder, "all")
        datasets()
        tables_and_figures()
        later()
        if have("psutil"):
            time.sleep(0.6)
    assert client.get_run(RUN).info.status == "FINISHED"
    read_back()


def datasets() -> None:
    if not have("numpy"):
        told = Dataset(name="train", digest="1", source_type="http", source="https://example.org/x.csv")
        client.log_inputs(RUN, [DatasetInput(told, [InputTag("mlflow.data.context", "training")])])
        return
    import numpy

    mlflow.log_input(mlflow.data.from_numpy(numpy.ones((3, 2)), name="train"), context="training")


def tables_and_figures() -> None:
    if have("pandas"):
        mlflow.log_table({"x": [1, 2]}, "t.json")
        mlflow.log_table({"x": [3]}, "t.json")
        assert list(mlflow.load_table("t.json", run_ids=[RUN])["x"]) == [1, 2, 3]
    if have("matplotlib"):
        from matplotlib import pyplot

        figure, _ = pyplot.subplots()
        mlflow.log_figure(figure, "f.png")
    if have("PIL", "numpy"):
        import numpy

        mlflow.log_image(numpy.zeros((4, 4, 3), dtype=numpy.uint8), "i.png")
        mlflow.log_image(numpy.zeros((4, 4, 3), dtype=numpy.uint8), key="steps", step=1, synchronous=True)


def later() -> None:
    mlflow.log_metric("async", 1.0, synchronous=False).wait()
    mlflow.log_params({"async_param": 1}, synchronous=False).wait()
    client.log_batch(RUN, metrics=[Metric("many", i, i, i) for i in range(1000)])
    mlflow.set_tag("gone", "x")
    mlflow.delete_tag("gone")


def read_back() -> None:
    run = client.get_run(RUN)
    assert run.data.params == {"lr": "0.1", "depth": "3", "async_param": "1"}, run.data.params
    assert run.data.metrics["loss"] == 0.25, run.data.metrics
    assert run.data.metrics["async"] == 1.0
    assert "gone" not in run.data.tags
    assert [d.dataset.name for d in run.inputs.dataset_inputs] == ["train"]
    assert not have("psutil") or any(key.startswith("system/") for key in run.data.metrics), run.data.metrics
    assert [m.value for m in client.get_metric_history(RUN, "loss")] == [0.5, 0.25]
    listed = {file.path for file in client.list_artifacts(RUN)}
    assert {"notes", "d.json", "one", "all"} <= listed, listed
    assert mlflow.artifacts.load_text(f"runs:/{RUN}/notes/a b.txt") == "hello"
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{RUN}/all"))
    assert sorted(file.name for file in folder.iterdir()) == ["one", "two"]
    found = mlflow.search_runs(
        experiment_ids=[run.info.experiment_id], filter_string="params.lr = '0.1'", output_format="list"
    )
    assert RUN in [one.info.run_id for one in found]


def a_second_block_and_nested_runs_are_the_jobs_children() -> None:
    with mlflow.start_run(run_name="second") as second:
        assert second.data.tags["mlflow.parentRunId"] == RUN, second.data.tags
        with mlflow.start_run(nested=True, run_name="inner") as inner:
            mlflow.log_metric("inner", 1)
            mlflow.log_param("which", "inner")
        assert inner.data.tags["mlflow.parentRunId"] == second.info.run_id
    assert client.get_metric_history(inner.info.run_id, "inner")[0].value == 1
    with mlflow.start_run(run_id=second.info.run_id):
        mlflow.log_metric("again", 2)
    client.delete_run(inner.info.run_id)
    assert client.get_run(inner.info.run_id).info.lifecycle_stage == "deleted"
    client.restore_run(inner.info.run_id)
    client.update_run(second.info.run_id, name="renamed")
    assert client.get_run(second.info.run_id).info.run_name == "renamed"


def metrics_after_an_autolog_fit() -> None:
    if not have("sklearn", "numpy"):
        return
    from sklearn.linear_model import LinearRegression

    mlflow.sklearn.autolog(log_models=False)
    LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    mlflow.log_metric("after", 1.0)
    mlflow.end_run()
    mlflow.sklearn.autolog(disable=True)


def a_model_is_registered_aliased_and_read() -> None:
    with mlflow.start_run() as run:
        if have("sklearn", "numpy"):
            from sklearn.linear_model import LinearRegression

            model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
            where = {"name": "clf"} if THREE else {"artifact_path": "clf"}
            mlflow.sklearn.log_model(model, **where, registered_model_name=NAME, pip_requirements=["scikit-learn"])
            assert round(float(mlflow.pyfunc.load_model(f"models:/{NAME}/1").predict([[2.0]])[0])) == 2
        else:
            mlflow.log_text("flavors: {}\n", "clf/MLmodel")
            client.create_registered_model(NAME)
            client.create_model_version(NAME, f"{run.info.artifact_uri}/clf", run.info.run_id)
    folder = mlflow.artifacts.download_artifacts(f"models:/{NAME}/1")
    assert Path(folder, "MLmodel").exists(), folder
    client.set_registered_model_alias(NAME, "best", "1")
    assert str(client.get_model_version_by_alias(NAME, "best").version) == "1"
    client.set_model_version_tag(NAME, "1", "seen", "yes")
    client.update_model_version(NAME, "1", description="ours")
    (version,) = client.search_model_versions(f"name='{NAME}'")
    assert (version.tags["seen"], version.description) == ("yes", "ours")
    assert [one.name for one in client.search_registered_models(f"name='{NAME}'")] == [NAME]
    assert [str(one.version) for one in client.get_latest_versions(NAME)] == ["1"]


def a_trace_is_kept() -> None:
    with mlflow.start_span("work") as span:
        span.set_inputs({"x": 1})
        span.set_outputs({"y": 2})
    if THREE:
        mlflow.flush_trace_async_logging()
    place = "locations" if THREE else "experiment_ids"
    (trace,) = client.search_traces(**{place: [client.get_run(RUN).info.experiment_id]})
    assert trace.data.spans[0].outputs == {"y": 2}, trace.data


PATTERNS = (
    another_experiment_is_refused_by_mlflow_itself,
    the_first_start_run_is_the_jobs,
    a_second_block_and_nested_runs_are_the_jobs_children,
    metrics_after_an_autolog_fit,
    a_model_is_registered_aliased_and_read,
    a_trace_is_kept,
)
bad = False
if have("psutil"):
    mlflow.set_system_metrics_sampling_interval(0.1)
    mlflow.set_system_metrics_samples_before_logging(1)
for pattern in PATTERNS:
    begun = time.monotonic()
    try:
        pattern()
        print(f"{pattern.__name__} {time.monotonic() - begun:.1f}")
    except Exception:  # noqa: BLE001 (the others are tried, too)
        bad = True
        print(pattern.__name__, "FAILED", traceback.format_exc())
sys.exit(bad)
