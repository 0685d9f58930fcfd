"""What a person does with jobs, through the real command, server and node."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from mayfly.testing.embedded import HELLO, Embedded
from mayfly.testing.nodes import until

pytestmark = pytest.mark.end_to_end

CORES = len(os.sched_getaffinity(0))
WHOLE = {"instance_type": f"local_{CORES}"}
"""Takes all of this machine, so that the next job has to wait."""

FIRST = """
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
command: echo "hello world"
environment:
  image: library/python:latest
"""
FOUR_GPU_NODES = f"""{FIRST}
resources:
  instance_count: 4
  instance_type: Standard_NC24
"""
ALL_FIELDS = f"""{FIRST}
queue_settings:
   job_tier: Standard # Possible values are Standard and Spot. The default is Standard.
identity:
  type: user_identity # Possible values are Managed and user_identity.
resources:
  instance_count: 1
  instance_type: Standard_E4s_v3
"""


def python(text: str) -> str:
    return f"python -c {shlex.quote(text)}"


@pytest.mark.parametrize("sample", [FIRST, ALL_FIELDS], ids=["first", "all fields"])
def test_samples_of_the_founding_documents(shared: Embedded, sample: str) -> None:
    said = shared.run("job", "create", "--file", str(shared.write(sample, "hello.yaml")), "--stream")
    assert said.status == 0, said.err
    assert "hello world\n" in said.out
    assert "Completed" in said.out


def test_without_gpus_the_remedy_rehearses_on_cpu(shared: Embedded) -> None:
    path = shared.write(FOUR_GPU_NODES, "nc24.yaml")
    said = shared.run("job", "create", "-f", str(path))
    assert said.status != 0 and "[NoQuotaForInstanceType]" in said.err
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "Standard_NC24" in text)
    assert f"{path}:{line}: " in said.err
    assert shared.call("GET", "/quotas") and "to rehearse on CPU" in said.err
    remedy = re.search(r"`mayfly (quota update [^`]*)`", said.err)
    assert remedy is not None
    assert shared.run(*shlex.split(remedy[1])).status == 0
    name = shared.json("job", "create", "-f", str(path))["name"]
    job = shared.wait(name, "Completed")
    assert job["emulated"] is True
    assert job["instance_count"] == 4
    assert any("emulated" in note for note in job["notes"])
    assert sum("hello world\n" in shared.log(name, file) for file in _logs(shared, name)) == 4


def test_some_quota_but_too_little_names_the_largest_count(shared: Embedded) -> None:
    wish = {**HELLO, "resources": {"instance_count": 9, "instance_type": "Standard_D4s_v3"}}
    said = shared.run("job", "create", "-f", str(shared.write(wish)))
    assert said.status != 0 and "[JobNodeCountExceedsCoreQuota]" in said.err
    assert "largest valid node count is 6" in said.err


def test_inputs_outputs_and_code_arrive_byte_by_byte(shared: Embedded, tmp_path: Path) -> None:
    folder = shared.write("").parent
    (folder / "src").mkdir()
    blob = bytes(range(256)) * 300
    (folder / "data").mkdir()
    (folder / "data" / "blob.bin").write_bytes(blob)
    (folder / "one.txt").write_text("one\n")
    (folder / "src" / "run.py").write_text(
        "import pathlib, shutil, sys\n"
        "data, one, model = map(pathlib.Path, sys.argv[1:])\n"
        "model.mkdir(exist_ok=True)\n"
        "shutil.copy(data / 'blob.bin', model / 'copy.bin')\n"
        "pathlib.Path('outputs/sub').mkdir(parents=True)\n"
        "pathlib.Path('outputs/sub/one.txt').write_text(one.read_text() * 2)\n"
    )
    (folder / "job.yml").write_text(
        "code: src\n"
        "command: python run.py ${{inputs.data}} ${{inputs.one}} ${{outputs.model}}\n"
        "environment: {image: library/python:latest}\n"
        "inputs:\n"
        "  data: {type: uri_folder, path: data}\n"
        "  one: {type: uri_file, path: one.txt, mode: download}\n"
        "outputs:\n"
        "  model: {type: uri_folder}\n"
    )
    name = shared.json("job", "create", "-f", str(folder / "job.yml"))["name"]
    shared.wait(name, "Completed")
    said = shared.run("job", "download", "-n", name, "--all", "-p", str(tmp_path / "down"))
    assert said.status == 0, said.err
    assert (tmp_path / "down" / "named-outputs" / "model" / "copy.bin").read_bytes() == blob
    assert (tmp_path / "down" / "artifacts" / "outputs" / "sub" / "one.txt").read_text() == "one\none\n"
    log = tmp_path / "down" / "artifacts" / "user_logs" / "std_log.txt"
    assert log.exists()


def test_a_status_that_is_not_zero_is_told(shared: Embedded) -> None:
    said = shared.run("job", "create", "-s", "-f", str(shared.write({**HELLO, "command": "echo bad; exit 7"})))
    assert said.status != 0
    assert "bad\n" in said.out
    assert "Failed" in said.out and "7" in said.out


def test_cancel_queued_and_running(shared: Embedded) -> None:
    first = shared.post({**HELLO, "command": "echo up; sleep 60", "resources": WHOLE})
    shared.wait_log(first, "up")
    second = shared.json("job", "create", "-f", str(shared.write(HELLO)))
    waiting = shared.wait(second["name"], "Queued")
    assert waiting["phase"] in ("validate", "quota", "capacity")
    assert shared.json("job", "cancel", "-n", second["name"])["status"] == "Canceled"
    assert shared.run("job", "cancel", "-n", first).status == 0
    job = shared.wait(first, "Canceled")
    assert job["error"]["code"] == "CanceledByUser"
    assert shared.json("job", "cancel", "-n", first)["status"] == "Canceled"


def test_a_job_waits_in_queued_until_there_is_room_and_says_for_what(shared: Embedded) -> None:
    first = shared.post({**HELLO, "command": "echo up; sleep 60", "resources": WHOLE})
    shared.wait_log(first, "up")
    said = shared.run("job", "create", "-f", str(shared.write(HELLO)), "-o", "json")
    assert "waits in Queued" in said.err
    second = json.loads(said.out)["name"]
    why: dict[str, Any] = until(lambda: (found := shared.json("job", "explain", "-n", second))["missing"] and found)
    assert why["missing"] in ("quota", "capacity")
    assert why["place_in_queue"] == 1
    assert why["advice"]["change"] == "none" or why["advice"]["set"]
    before = shared.call("GET", "/jobs?limit=1000")["jobs"]
    plan = shared.json("job", "plan", "-f", str(shared.write(HELLO)))
    assert plan["starts_now"] is False
    assert len(shared.call("GET", "/jobs?limit=1000")["jobs"]) == len(before)
    assert {row["held"] for row in shared.json("usage") if row["family"] == "local"} == {CORES}
    shared.call("POST", f"/jobs/{first}/cancel", {})
    job = shared.wait(second, "Completed")
    assert any(phase["phase"] == why["missing"] for phase in job["phases"])
    spent = sum(phase["milliseconds"] for phase in job["phases"])
    assert abs(spent - (job["ended_at"] - job["created_at"])) <= 50


def test_a_timeout_cancels(shared: Embedded) -> None:
    name = shared.post(
        {**HELLO, "command": "trap 'echo polite; exit 0' TERM; sleep 60 & wait", "limits": {"timeout": 4}}
    )
    job = shared.wait(name, "Canceled")
    assert job["error"]["code"] == "JobTimedOut"
    assert shared.log(name) == "polite\n"


def test_a_gang_has_ranks_and_one_address(shared: Embedded) -> None:
    wanted = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    tell = python(f"import os, json; print(json.dumps([os.environ[name] for name in {wanted!r}]))")
    gang = {
        **HELLO,
        "command": tell,
        "resources": {"instance_type": "local_1", "instance_count": min(2, CORES)},
        "distribution": {"type": "pytorch", "process_count_per_instance": 2},
    }
    name = shared.post(gang)
    shared.wait(name, "Completed")
    told = sorted(json.loads(shared.log(name, file)) for file in _logs(shared, name))
    size = 2 * min(2, CORES)
    assert [one[0] for one in told] == [str(rank) for rank in range(size)]
    assert [one[1] for one in told] == [str(rank % 2) for rank in range(size)]
    assert [one[2] for one in told] == [str(rank // 2) for rank in range(size)]
    assert {one[3] for one in told} == {str(size)}
    assert len({(one[4], one[5]) for one in told}) == 1


def test_compute_local_and_unknown_compute(shared: Embedded) -> None:
    local = shared.run("job", "create", "-s", "-f", str(shared.write({**HELLO, "compute": "local"})))
    assert (local.status, "hello\n" in local.out) == (0, True)
    said = shared.run(
        "job", "create", "-f", str(shared.write({**HELLO, "compute": "azureml:gpu-cluster"})), "-o", "json"
    )
    assert "gpu-cluster" in said.err and "serverless" in said.err
    job = shared.wait(json.loads(said.out)["name"], "Completed")
    assert job["compute"] == "serverless"


def test_show_list_explain_status_agree(shared: Embedded) -> None:
    name = shared.submit({**HELLO, "display_name": "a name", "tags": {"k": "v"}})
    shared.wait(name, "Completed")
    shown = shared.json("job", "show", "-n", name)
    assert (shown["status"], shown["display_name"], shown["tags"]) == ("Completed", "a name", {"k": "v"})
    assert shown["isolation"]
    assert name in [job["name"] for job in shared.json("job", "list")]
    explained = shared.json("job", "explain", "-n", name)
    assert [one for one in explained["candidates"] if one["chosen"]]
    assert shown["phases"] == explained["phases"]
    running = shared.post({**HELLO, "command": "echo up; sleep 60"})
    shared.wait_log(running, "up")
    assert shared.json("status")["jobs"].get("Running") == 1
    said = shared.run(
        "ml", "job", "show", "-n", running, "-g", "local", "-w", "default", "--query", "status", "-o", "json"
    )
    assert (said.status, json.loads(said.out)) == (0, "Running")
    shared.call("POST", f"/jobs/{running}/cancel", {})
    shared.wait(running, "Canceled")


def _logs(one: Embedded, name: str) -> list[str]:
    return [log["file"] for log in one.call("GET", f"/jobs/{name}/logs")["logs"]]
