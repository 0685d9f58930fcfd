"""The lives that fault tests break: each does what a person does with Mayfly, and says how it must end whatever died."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from azure.core.exceptions import AzureError
from azure.storage.blob import ContainerClient

from mayfly.kit.clock import Millis
from mayfly.node.inputs import SMALL_BYTES
from mayfly.services.blobs import container_of
from mayfly.services.signatures import Grant, Signatures
from mayfly.store.tracking import StoredTracking
from mayfly.testing import images
from mayfly.testing.embedded import HELLO, counting, numbered
from mayfly.testing.nodes import alive, kill
from mayfly.testing.trials import PATIENCE_S, Trial

SHELL = HELLO["environment"]

TRACKS = """
import json, os, time, urllib.request
for i in range(20):
    content = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": i / 8, "timestamp": 1000 + i, "step": i}
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric", json.dumps(content).encode(),
        {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"})
    while True:
        try:
            urllib.request.urlopen(request, timeout=600).read()
            break
        except urllib.error.HTTPError:
            raise
        except OSError:  # as MLflow's client does, when whoever listened has died
            time.sleep(0.05)
print("done", flush=True)
"""


def a_job(trial: Trial) -> None:
    """Code is sent, runs, leaves outputs and a whole log; another fails with its own status."""
    command = "python -c 'import main' && echo kept > outputs/model"
    trial.submit("good", {**HELLO, "command": command}, main_py="for i in range(4): print('line', i + 1)")
    trial.submit("bad", {**HELLO, "command": "echo reason; exit 7"})
    job = trial.ends("good", "Completed")
    assert (job["attempt"], job["exit_codes"]) == (1, [0]), job
    assert trial.log("good") == numbered(4)
    to = trial.one.place / "got"
    trial.run("job", "download", "-n", "good", "--all", "--download-path", str(to))
    assert (to / "artifacts" / "outputs" / "model").read_text() == "kept\n"
    job = trial.ends("bad", "Failed")
    assert (job["error"]["code"], job["exit_codes"]) == ("ExitCode", [7]) or job["exit_codes"] == [7], job
    assert trial.log("bad") == "reason\n"


def a_cancel(trial: Trial) -> None:
    """A running job is canceled, one that waits too; both twice."""
    trial.post("runs", counting(6000))
    trial.says("runs", "line 1\n")
    cores = len(os.sched_getaffinity(0))
    trial.post("large", {**HELLO, "resources": {"instance_type": f"local_{cores}"}})
    for name in ("large", "runs", "large", "runs"):
        trial.call("POST", f"/jobs/{name}/cancel", {})
    for name in ("large", "runs"):
        trial.ends(name, "Canceled")
    assert numbered(6000).startswith(trial.log("runs"))


def a_gang(trial: Trial) -> None:
    """Two nodes begin together and end together."""
    definition = {
        **counting(3),
        "resources": {"instance_type": "local_1", "instance_count": 2},
        "distribution": {"type": "pytorch", "process_count_per_instance": 1},
    }
    trial.post("both", definition)
    job = trial.ends("both", "Completed")
    assert job["exit_codes"] == [0, 0], job


def some_data(trial: Trial) -> None:
    """Data is named, read by a job, written outside under a name, and found again."""
    place = trial.one.place
    (place / "outside" / "in").mkdir(parents=True)
    (place / "outside" / "in" / "f.txt").write_text("hey\n")
    (place / "store.yml").write_text(f"name: fold\ntype: folder\npath: {place / 'outside'}\n")
    (place / "mine").mkdir()
    (place / "mine" / "a.csv").write_text("1\n")
    (place / "data.yml").write_text("name: mine\nversion: '1'\ntype: uri_folder\npath: mine\n")
    trial.run("datastore", "create", "-f", str(place / "store.yml"))
    trial.run("data", "create", "-f", str(place / "data.yml"))
    trial.submit(
        "reads",
        {
            "command": "cat ${{inputs.a}}/a.csv ${{inputs.c}}/f.txt ${{inputs.d}}/f.txt; "
            "echo done > ${{outputs.o}}/r.txt; echo one > ${{outputs.f}}",
            "environment": SHELL,
            "inputs": {
                "a": {"path": "azureml:mine@latest"},
                "c": {"path": "azureml://datastores/fold/paths/in/", "mode": "download"},
                "d": {"path": "azureml://datastores/fold/paths/in/"},
            },
            "outputs": {
                "o": {"path": "azureml://datastores/fold/paths/out/${{name}}/", "name": "written"},
                "f": {"type": "uri_file", "path": "azureml://datastores/workspaceblobstore/paths/res/${{name}}.txt"},
            },
        },
    )
    trial.ends("reads", "Completed")
    assert trial.log("reads") == "1\nhey\nhey\n"
    assert (place / "outside" / "out" / "reads" / "r.txt").read_text() == "done\n"
    inputs = {
        "x": {"path": "azureml:written@latest"},
        "y": {"path": "azureml://datastores/workspaceblobstore/paths/res/reads.txt", "type": "uri_file"},
    }
    trial.submit("again", {"command": "cat ${{inputs.x}}/r.txt ${{inputs.y}}", "environment": SHELL, "inputs": inputs})
    trial.ends("again", "Completed")
    assert trial.log("again") == "done\none\n"
    assert len(json.loads(trial.run("data", "list", "-n", "written", "-o", "json"))) == 1


def a_checkpoint(trial: Trial) -> None:
    """A Spot job loses its node and goes on from what it had kept."""
    trial.post(
        "goes-on",
        {
            **HELLO,
            "queue_settings": {"job_tier": "Spot"},
            "outputs": {"model": {"type": "uri_folder", "mode": "rw_mount"}},
            "command": (
                "if [ -e outputs/step ]; then echo from $(cat outputs/step) $(cat ${{outputs.model}}/weights); exit 0;"
                " fi; echo 7 > outputs/step; echo w > ${{outputs.model}}/weights; echo up; sleep 600"
            ),
        },
    )
    one = trial.one
    trial.says("goes-on", "up")
    trial.until(
        lambda: {o["name"] for o in trial.call("GET", "/jobs/goes-on/outputs") if o["files"]} == {"default", "model"}
    )

    def lost() -> bool:
        """Until none of its parts is left: a watchdog may just be starting another agent."""
        for node in one.nodes():
            if one.supervisor(node):
                parts = (one.watchdog(node), one.agent(node), one.supervisor(node), one.user_process(node))
                kill(*(pid for pid in parts if pid and alive(pid)))
        return trial.job("goes-on")["attempt"] > 1 or trial.job("goes-on")["status"] == "Queued"

    trial.until(lost)
    job = trial.ends("goes-on", "Completed")
    assert job["attempt"] >= 2, job
    assert trial.log("goes-on", f"attempt_{job['attempt']}/user_logs/std_log.txt") == "from 7 w\n"


def some_tracking(trial: Trial) -> None:
    """Every point is there once, in its order."""
    trial.submit("tracks", {**HELLO, "command": "python main.py"}, main_py=TRACKS)
    trial.ends("tracks", "Completed")
    assert trial.log("tracks") == "done\n"
    points = trial.call("GET", "/jobs/tracks/metrics?after=0&limit=500")
    assert [(point["key"], point["step"]) for point in points] == [("loss", step) for step in range(20)], points
    trial.until(lambda: not trial.one.rows(lambda store: list(StoredTracking(store).waiting())))


def adds(word: str, *after: str) -> dict[str, Any]:
    """A step that writes what the steps before it wrote, and a word of its own."""
    reads = " ".join(f"${{{{inputs.{one}}}}}/x" for one in after)
    return {
        "command": f"cat {reads} /dev/null > ${{{{outputs.o}}}}/x; echo {word} >> ${{{{outputs.o}}}}/x",
        "environment": SHELL,
        "inputs": {one: f"${{{{parent.jobs.{one}.outputs.o}}}}" for one in after},
        "outputs": {"o": {}},
    }


CHAIN: dict[str, Any] = {
    "type": "pipeline",
    "outputs": {"end": {}},
    "jobs": {
        "a": adds("one"),
        "b": {
            "type": "pipeline",
            "inputs": {"a": "${{parent.jobs.a.outputs.o}}"},
            "outputs": {"o": {}},
            "jobs": {
                "in": {
                    **adds("two", "a"),
                    "inputs": {"a": "${{parent.inputs.a}}"},
                    "outputs": {"o": "${{parent.outputs.o}}"},
                }
            },
        },
        "c": {**adds("three", "b"), "outputs": {"o": "${{parent.outputs.end}}"}},
    },
}
"""Three steps, one below a pipeline within."""


def a_pipeline(trial: Trial) -> None:
    """Its steps run once and in order, and a second one of the same uses what the first made."""
    for name in ("chain", "again"):
        trial.post(name, CHAIN)
        job = trial.ends(name, "Completed")
        assert [(view["name"], view["status"]) for view in job["steps"]] == [(s, "Completed") for s in ("a", "b", "c")]
        assert len(trial.call("GET", f"/jobs?parent={name}")["jobs"]) == 3
        to = trial.one.place / name
        trial.run("job", "download", "-n", name, "-p", str(to))
        assert (to / "named-outputs" / "end" / "x").read_text() == "one\ntwo\nthree\n"
    assert all(view["reused"] for view in job["steps"] if view["name"] in ("a", "c")), job["steps"]


def some_rounds(trial: Trial) -> None:
    """A loop goes round until its body says so, and a choice follows it."""
    body = {
        "command": "cat $[[${{inputs.d}}/x]] /dev/null > ${{outputs.d}}/x; echo a >> ${{outputs.d}}/x; test $(wc -l "
        "< ${{outputs.d}}/x) -lt 2 && echo true > ${{outputs.more}} || echo false > ${{outputs.more}}",
        "environment": SHELL,
        "inputs": {"d": {"type": "uri_folder", "optional": True}},
        "outputs": {"d": {"type": "uri_folder"}, "more": {"type": "boolean", "is_control": True}},
    }
    jobs = {
        "body": {"component": body, "outputs": {"d": "${{parent.outputs.end}}"}},
        "loop": {
            "type": "do_while",
            "body": "${{parent.jobs.body}}",
            "condition": "${{parent.jobs.body.outputs.more}}",
            "mapping": {"d": "d"},
            "limits": {"max_iteration_count": 5},
        },
        "which": {
            "type": "if_else",
            "condition": "${{parent.jobs.loop.outputs.more}}",
            "true_block": "${{parent.jobs.never}}",
        },
        "never": HELLO,
    }
    trial.post("turns", {"type": "pipeline", "outputs": {"end": {}}, "jobs": jobs})
    job = trial.ends("turns", "Completed")
    stands = {view["name"]: (view["status"], [below["name"] for below in view["steps"]]) for view in job["steps"]}
    assert stands["loop"] == ("Completed", ["body[0]", "body[1]"]), stands
    assert stands["never"] == ("Skipped", []), stands
    trial.run("job", "download", "-n", "turns", "-p", str(trial.one.place / "turns"))
    assert (trial.one.place / "turns" / "named-outputs" / "end" / "x").read_text() == "a\na\n"


def an_environment(trial: Trial) -> None:
    """One that cannot be is told with its reason; needs no package index."""
    wishes = {"dependencies": ["python", {"pip": ["pip==1.0,>2.0"]}]}
    trial.post("cannot", {"command": "echo", "environment": {"image": "library/python:latest", "conda_file": wishes}})
    job = trial.ends("cannot", "Failed")
    assert job["error"]["code"] == "EnvironmentUnsatisfiable", job["error"]


def an_image(trial: Trial) -> None:
    """One that a job brings is built for it, one that is registered before any job needs it; neither is built again."""
    place = trial.one.place
    for said in ("once", "named"):
        images.context(place / said, said)
    runs = {"command": "cat /made"}
    trial.submit("brings", {**runs, "environment": {"build": {"path": str(place / "once")}}})
    trial.ends("brings", "Completed")
    assert trial.log("brings") == "built: once\n"
    (place / "boxed.yml").write_text("name: boxed\nversion: '1'\nbuild:\n  path: named\n")
    trial.run("environment", "create", "-f", str(place / "boxed.yml"))
    trial.run("environment", "build", "boxed")
    for name in ("boxed", "again"):
        trial.post(name, {**runs, "environment": "azureml:boxed@latest"})
        trial.ends(name, "Completed")
        assert trial.log(name) == "built: named\n"


def some_assets(trial: Trial) -> None:
    """Names are given once, changed, archived; what nobody uses is swept."""
    place = trial.one.place
    (place / "net.bin").write_bytes(b"weights")
    (place / "environment.yml").write_text("name: plain\nversion: '1'\nimage: library/python:latest\n")
    (place / "part.yml").write_text(
        "name: part\nversion: '1'\ntype: command\ncommand: echo part\nenvironment: azureml:plain:1\n"
    )
    (place / "model.yml").write_text("name: net\nversion: '1'\ntype: custom_model\npath: net.bin\n")
    for kind, file in (("environment", "environment"), ("component", "part"), ("model", "model")):
        trial.run(kind, "create", "-f", str(place / f"{file}.yml"))
    trial.post("made", {"type": "pipeline", "jobs": {"one": {"type": "command", "component": "azureml:part:1"}}})
    trial.ends("made", "Completed")
    trial.run("job", "update", "-n", "made", "--set", "tags.kept=well")
    trial.run("job", "archive", "-n", "made")
    trial.run("job", "restore", "-n", "made")
    trial.run("model", "archive", "-n", "net", "--version", "1")
    trial.run("quota", "update", "--family", "local", "--limit", "1")
    trial.run("gc")
    assert trial.job("made")["tags"] == {"kept": "well"}, trial.job("made")["tags"]
    assert [one["version"] for one in json.loads(trial.run("component", "list", "-o", "json"))] == ["1"]
    limits = {row["family"]: row["limit"] for row in trial.call("GET", "/usage") if row["tier"] == "Standard"}
    assert limits["local"] == 1, limits


def some_blobs(trial: Trial) -> None:
    """What a storage client was answered is there, whole, and a job reads it."""
    sent = {f"sent/{number}": str(number).encode() * 40_000 for number in range(4)}
    for name, data in sent.items():
        _until_taken(trial, lambda box, name=name, data=data: box.upload_blob(name, data, overwrite=True))
    path = "azureml://datastores/workspaceblobstore/paths/sent"
    trial.post("sums", {**HELLO, "command": "cat ${{inputs.d}}/* | wc -c", "inputs": {"d": {"path": path}}})
    trial.ends("sums", "Completed")
    assert trial.log("sums") == "160000\n"
    url, box, sas = _access(trial)
    store = {"name": "far", "type": "azure_blob", "account_name": "mayfly", "container_name": box, "endpoint": url}
    file = trial.one.place / "far.yml"
    file.write_text(json.dumps({**store, "credentials": {"sas_token": sas}}))
    trial.run("datastore", "create", "-f", str(file))
    large = SMALL_BYTES + 1  # what is smaller is copied
    _until_taken(trial, lambda box: box.upload_blob("large/0", bytes(large), overwrite=True))
    far = {"d": {"path": "azureml://datastores/far/paths/large", "mode": "ro_mount"}}
    trial.post("streams", {**HELLO, "command": "tail -c 1000 ${{inputs.d}}/0 | wc -c", "inputs": far})
    trial.ends("streams", "Completed")
    assert trial.log("streams") == "1000\n"
    for name, data in sent.items():
        _until_taken(trial, lambda box, name=name, data=data: _same(box, name, data))


def _same(box: ContainerClient, name: str, data: bytes) -> None:
    assert box.download_blob(name).readall() == data, name


def _access(trial: Trial) -> tuple[str, str, str]:
    """The workspace's own blobs: their address, their container, a signature for all of it."""
    workspace = trial.call("GET", "/mayfly/v1/workspaces")[0]["id"]
    name = container_of(workspace, "workspaceblobstore")
    grant = Grant(name, "racwdl", Millis(int(time.time() * 1000) + 3600_000))
    sas = Signatures((trial.one.folder / "secret").read_bytes()).sign(grant)
    return f"{trial.one.record['url']}/mayfly.blob.mayfly.internal", name, sas


def _until_taken(trial: Trial, use: Callable[[ContainerClient], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with ContainerClient(
                *_access(trial), max_single_put_size=1 << 16, max_block_size=1 << 16, retry_total=0
            ) as box:
                use(box)
                return
        except (AzureError, KeyError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


LIVES: dict[str, Callable[[Trial], None]] = {
    "a job": a_job,
    "a cancel": a_cancel,
    "a gang": a_gang,
    "data": some_data,
    "a checkpoint": a_checkpoint,
    "tracking": some_tracking,
    "a pipeline": a_pipeline,
    "rounds": some_rounds,
    "an environment": an_environment,
    **({"an image": an_image} if shutil.which("podman") else {}),
    "assets": some_assets,
    "blobs": some_blobs,
}


def pairs(points: list[str]) -> list[tuple[str, str]]:
    """Neighbours in time, of different processes: the second dies before the first is healed."""
    return [(a, b) for a, b in pairwise(points) if a.partition(":")[0] != b.partition(":")[0]]
