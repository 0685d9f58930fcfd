"""The server dies at each of its persisted steps, a node's parts at each of theirs; another server comes, and the job
ends as if nothing had been. A sample of them; `MAYFLY_FAULTS=all` takes them all."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from mayfly.node import steps as node_steps
from mayfly.store import unit
from mayfly.testing.embedded import HELLO, Embedded, Make, counting, numbered
from mayfly.testing.nodes import until

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault]

ALL = os.environ.get("MAYFLY_FAULTS") == "all"
APART = (
    "build reserved",
    "cancel accepted",
    "environment resolved",
    "checkpoint kept",
    "tracking kept",
    "tracking fed",
    "step started",
    "pipeline ended",
)
"""Not every job comes by these: they have tests of their own."""
SERVER = [(step, side) for step in unit.STEPS if step not in APART for side in ("before", "after")]
SAMPLE = {
    ("job accepted", "before"),
    ("job accepted", "after"),
    ("attempt reserved", "after"),
    ("node created", "before"),
    ("start granted", "after"),
    ("rank exited", "before"),
    ("job ended", "after"),
    ("node gone", "before"),
}
NODE = [step for step in node_steps.STEPS if step != "stopping"]
NODE_SAMPLE = {"assigned", "launched", "collected"}


def _submit_whatever_happens(one: Embedded, definition: dict[str, object]) -> str:
    """Submit under a name of our own until a server has accepted it, as a person would. The first may die of it."""
    path = one.write({**definition, "name": "the_job"})
    if one.run("job", "create", "-f", str(path)).status:
        until(lambda: not one.up)
        one.start()
        said = one.run("job", "create", "-f", str(path))
        assert said.status == 0, said.err
    return "the_job"


def _heal(one: Embedded, marker: Path, deadly: int) -> None:
    """Wait for the death, then start another server, which dies no more."""
    until(marker.exists, 40)
    assert one.server is not None
    if one.server.pid == deadly:
        until(lambda: not one.up)
        one.start()


@pytest.mark.parametrize(("step", "side"), [pytest.param(*at, id="-".join(at)) for at in SERVER if ALL or at in SAMPLE])
def test_server_killed_at(fresh: Make, tmp_path: Path, step: str, side: str) -> None:
    marker = tmp_path / "died"
    one = fresh(MAYFLY_IDLE_SECONDS="0.5")
    deadly = one.start(MAYFLY_KILL_AT=f"server:{step}:{side}", MAYFLY_KILL_ONCE=str(marker))
    name = _submit_whatever_happens(one, counting(5))
    _heal(one, marker, deadly)
    job = one.wait(name, "Completed")
    assert (job["attempt"], job["exit_codes"]) == (1, [0])
    assert one.log(name) == numbered(5)
    until(lambda: not one.nodes())
    until(lambda: not one.problems())


@pytest.mark.parametrize("side", ["before", "after"])
def test_server_killed_while_canceling(fresh: Make, tmp_path: Path, side: str) -> None:
    marker = tmp_path / "died"
    one = fresh()
    deadly = one.start(MAYFLY_KILL_AT=f"server:cancel accepted:{side}", MAYFLY_KILL_ONCE=str(marker))
    name = one.post({**HELLO, "command": "echo up; sleep 60"})
    one.wait_log(name, "up")
    with pytest.raises(httpx.TransportError):
        one.call("POST", f"/jobs/{name}/cancel", {})
    _heal(one, marker, deadly)
    if side == "before":
        assert one.job(name)["status"] in ("Running", "NotResponding")
        one.call("POST", f"/jobs/{name}/cancel", {})
    one.wait(name, "Canceled")
    until(lambda: not one.problems())


@pytest.mark.parametrize("side", ["before", "after"])
def test_server_killed_with_an_environment_just_resolved(fresh: Make, tmp_path: Path, side: str) -> None:
    """Here: found to be impossible, which needs no package index."""
    marker = tmp_path / "died"
    one = fresh()
    deadly = one.start(MAYFLY_KILL_AT=f"server:environment resolved:{side}", MAYFLY_KILL_ONCE=str(marker))
    wishes = {"dependencies": ["python", {"pip": ["pip==1.0,>2.0"]}]}
    name = one.post({"command": "echo", "environment": {"image": "library/python:latest", "conda_file": wishes}})
    _heal(one, marker, deadly)
    assert one.wait(name, "Failed")["error"]["code"] == "EnvironmentUnsatisfiable"
    until(lambda: not one.problems())


@pytest.mark.parametrize("step", [step for step in NODE if ALL or step in NODE_SAMPLE])
def test_agent_killed_at(fresh: Make, tmp_path: Path, step: str) -> None:
    marker = tmp_path / "died"
    one = fresh()
    one.start(MAYFLY_KILL_AT=step, MAYFLY_KILL_ONCE=str(marker))
    name = one.post(counting(5))
    job = one.wait(name, "Completed")
    until(marker.exists)
    assert (job["attempt"], job["exit_codes"]) == (1, [0])
    assert one.log(name) == numbered(5)


@pytest.mark.parametrize("step", node_steps.SUPERVISOR_STEPS if ALL else ("spawned", "recorded"))
def test_supervisor_killed_at(fresh: Make, tmp_path: Path, step: str) -> None:
    """Nobody can know the exit status of a process whose parent was killed before it told: then that is said."""
    marker = tmp_path / "died"
    one = fresh()
    one.start(MAYFLY_KILL_AT=f"supervisor:{step}", MAYFLY_KILL_ONCE=str(marker))
    name = one.post(HELLO)
    job = one.wait(name)
    assert marker.exists()
    if step == "recorded":
        assert (job["status"], one.log(name)) == ("Completed", "hello\n")
    else:
        assert (job["status"], job["error"]["code"]) == ("Failed", "SupervisorLost")
