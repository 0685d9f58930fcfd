"""Scripts that ask `azureml.core` for the run they are in, and the variables that Azure ML documents."""

from __future__ import annotations

import pytest

from mayfly.testing.embedded import HELLO, Make

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

SCRIPT = """
import os
from azureml.core import Run, Workspace
run = Run.get_context()
assert run.id == os.environ["AZUREML_RUN_ID"]
run.log("acc", 0.5)
run.log_list("loss", [3, 2, 1])
run.log_row("row", x=1, y=2)
run.tag("team", "blue")
open("notes.txt", "w").write("hello")
run.upload_file("kept/notes.txt", "notes.txt")
assert run.get_metrics()["loss"] == [3.0, 2.0, 1.0], run.get_metrics()
assert run.get_tags()["team"] == "blue"
assert run.get_file_names() == ["kept"], run.get_file_names()
assert run.parent is None
assert run.experiment.workspace.get_mlflow_tracking_uri() == os.environ["MLFLOW_TRACKING_URI"]
assert Workspace.from_config().name == "default"
for name in ("AZUREML_RUN_ID", "AZUREML_ARM_SUBSCRIPTION", "AZUREML_ARM_RESOURCEGROUP", "AZUREML_ARM_WORKSPACE_NAME",
             "AZUREML_ARM_PROJECT_NAME", "AZUREML_NODE_COUNT", "AZUREML_CR_NODE_RANK", "AZUREML_PROCESS_NAME",
             "AZ_BATCH_MASTER_NODE", "AZ_BATCH_HOST_LIST", "AZ_BATCHAI_MPI_MASTER_NODE", "MLFLOW_TRACKING_URI",
             "MLFLOW_TRACKING_TOKEN", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "AZUREML_PARAMETER_rate"):
    assert os.environ.get(name), name
print("done")
"""


def test_a_script_of_the_old_sdk_finds_its_run(fresh: Make) -> None:
    one = fresh()
    one.start()
    command = "python train.py && MLFLOW_RUN_ID= AZUREML_MLFLOW_RUN_ID= python -c \"from azureml.core import Run; Run.get_context().log('a', 1)\""
    path = one.write({**HELLO, "command": command, "code": ".", "inputs": {"rate": 3}})
    (path.parent / "train.py").write_text(SCRIPT)
    name = one.json("job", "create", "-f", str(path))["name"]
    job = one.wait(name, ("Completed", "Failed"), 120)
    assert job["status"] == "Completed", one.log(name)
    assert job["metrics"] == {"acc": 0.5, "loss": 1.0, "row.x": 1.0, "row.y": 2.0}
    assert "Attempted to log scalar metric a" in one.log(name)
