"""Pipelines as people run them: real steps on real nodes, a server that is killed at each step of the controller."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from mayfly.testing.embedded import HELLO, Embedded, Make
from mayfly.testing.lives import CHAIN
from mayfly.testing.nodes import until

pytestmark = [pytest.mark.end_to_end]

ALL = os.environ.get("MAYFLY_FAULTS") == "all"
ENVIRONMENT = HELLO["environment"]
POINTS = [(step, side) for step in ("step started", "pipeline ended") for side in ("before", "after")]
SAMPLE = {("step started", "after")}


def test_a_pipeline_is_followed_shown_and_downloaded(shared: Embedded, tmp_path: Path) -> None:
    said = shared.run("job", "create", "-f", str(shared.write({**CHAIN, "name": "chain"})), "--stream")
    assert said.status == 0, said.err
    assert "b/in Completed" in said.err and "Completed" in said.out
    assert shared.run("job", "download", "-n", "chain", "-p", str(tmp_path)).status == 0
    assert (tmp_path / "named-outputs/end/x").read_text() == "one\ntwo\nthree\n"
    got = shared.run("job", "download", "-n", "chain", "--step", "b/in", "--output-name", "o", "-p", str(tmp_path))
    assert got.status == 0, got.err
    assert (tmp_path / "named-outputs/o/x").read_text() == "one\ntwo\n"
    wrong = shared.run("job", "download", "-n", "chain", "--step", "b/on", "-p", str(tmp_path))
    assert wrong.status == 4 and "Did you mean 'b/in'?" in wrong.err
    again = ("--only", "c", "--inputs-from", "chain", "--name", "alone", "--stream")
    said = shared.run("job", "create", "-f", str(shared.write({**CHAIN, "name": "chain"})), *again)
    assert said.status == 0, said.err
    assert shared.run("job", "download", "-n", "alone", "--all", "-p", str(tmp_path / "alone")).status == 0
    assert (tmp_path / "alone/named-outputs/o/x").read_text() == "one\ntwo\nthree\n"
    assert [one["step"] for one in shared.json("job", "list", "--parent-job-name", "chain")] == ["c", "b", "a"]
    assert "waits" not in shared.run("job", "show", "-n", "chain").out
    assert "3 of 3 steps are over" in shared.run("job", "explain", "-n", "chain").out


def test_a_failed_step_is_seen_where_the_user_looks(shared: Embedded) -> None:
    bad = {"command": "echo the reason is here; exit 3", "environment": ENVIRONMENT}
    jobs = {"bad": bad, "after": {**HELLO, "depends_on": ["bad"]}}
    said = shared.run("job", "create", "-f", str(shared.write({"type": "pipeline", "jobs": jobs})), "--stream")
    assert said.status == 1
    assert "bad | the reason is here" in said.err
    assert "The step 'bad' failed: The command ended with exit status 3. Not run: after." in said.out


@pytest.mark.fault
@pytest.mark.parametrize(("step", "side"), [pytest.param(*at, id="-".join(at)) for at in POINTS if ALL or at in SAMPLE])
def test_server_killed_at_a_step_of_the_controller(fresh: Make, tmp_path: Path, step: str, side: str) -> None:
    marker = tmp_path / "died"
    one = fresh()
    deadly = one.start(MAYFLY_KILL_AT=f"server:{step}:{side}", MAYFLY_KILL_ONCE=str(marker))
    with suppress(httpx.TransportError):  # it may die before it has answered
        one.post({**CHAIN, "name": "chain"})
    until(marker.exists, 40)
    assert one.server is not None and one.server.pid == deadly
    until(lambda: not one.up)
    one.start()
    job = one.wait("chain", "Completed")
    assert [(view["name"], view["status"]) for view in job["steps"]] == [(s, "Completed") for s in ("a", "b", "c")]
    assert len(one.call("GET", "/jobs?parent=chain")["jobs"]) == 3
    assert one.run("job", "download", "-n", "chain", "-p", str(tmp_path)).status == 0
    assert (tmp_path / "named-outputs/end/x").read_text() == "one\ntwo\nthree\n"
    until(lambda: not one.problems())
    one.kill_server()
    marker.unlink()
    one.start(MAYFLY_KILL_AT=f"server:{step}:{side}", MAYFLY_KILL_ONCE=str(marker))
    with suppress(httpx.TransportError):
        one.post({**CHAIN, "name": "again"})
    until(marker.exists, 40)
    until(lambda: not one.up)
    one.start()
    again = one.wait("again", "Completed")
    assert [view["reused"] for view in again["steps"] if view["type"] == "command"] == [True, True]
    assert len(one.call("GET", "/jobs?parent=again")["jobs"]) == 3
    until(lambda: not one.problems())


BODY = {
    "command": "cat $[[${{inputs.d}}/x]] /dev/null > ${{outputs.d}}/x; echo a >> ${{outputs.d}}/x;"
    " test $(wc -l < ${{outputs.d}}/x) -lt 2 && echo true > ${{outputs.more}} || echo false > ${{outputs.more}}",
    "environment": ENVIRONMENT,
    "inputs": {"d": {"type": "uri_folder", "optional": True}},
    "outputs": {"d": {"type": "uri_folder"}, "more": {"type": "boolean", "is_control": True}},
}
TURNS: dict[str, Any] = {
    "type": "pipeline",
    "outputs": {"end": {}},
    "jobs": {
        "body": {"component": BODY, "outputs": {"d": "${{parent.outputs.end}}"}},
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
    },
}


@pytest.mark.fault
def test_rounds_go_on_after_the_server_was_killed(fresh: Make, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    one = fresh()
    one.start(MAYFLY_KILL_AT="server:step started:after", MAYFLY_KILL_ONCE=str(marker))
    with suppress(httpx.TransportError):  # it may die before it has answered
        one.post({**TURNS, "name": "turns"})
    until(marker.exists, 40)
    until(lambda: not one.up)
    one.start()
    job = one.wait("turns", "Completed")
    stands = {view["name"]: (view["status"], [below["name"] for below in view["steps"]]) for view in job["steps"]}
    assert stands == {
        "loop": ("Completed", ["body[0]", "body[1]"]),
        "which": ("Completed", []),
        "never": ("Skipped", []),
    }
    got = one.run("job", "download", "-n", "turns", "--step", "loop/body[0]", "--output-name", "d", "-p", str(tmp_path))
    assert got.status == 0, got.err
    assert (tmp_path / "named-outputs/d/x").read_text() == "a\n"
    assert one.run("job", "download", "-n", "turns", "-p", str(tmp_path)).status == 0
    assert (tmp_path / "named-outputs/end/x").read_text() == "a\na\n"
    until(lambda: not one.problems())
