"""What a job had in its outputs survives its node, and the next attempt begins with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mayfly.testing.embedded import HELLO, Embedded, Make
from mayfly.testing.nodes import kill, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault]

JOB = {
    **HELLO,
    "queue_settings": {"job_tier": "Spot"},
    "outputs": {"model": {"type": "uri_folder", "mode": "rw_mount"}},
    "command": (
        "if [ -e outputs/step ]; then echo from $(cat outputs/step) $(cat ${{outputs.model}}/weights); exit 0; fi; "
        "echo 7 > outputs/step; echo w > ${{outputs.model}}/weights; echo up; sleep 600"
    ),
}


def _saved(one: Embedded, name: str) -> bool:
    return {o["name"] for o in one.call("GET", f"/jobs/{name}/outputs") if o["files"]} == {"default", "model"}


def _lose_node(one: Embedded) -> None:
    (node,) = one.nodes()
    kill(one.watchdog(node), one.agent(node), one.supervisor(node), one.user_process(node))


def test_a_spot_job_goes_on_from_its_checkpoint(fresh: Make, tmp_path: Path) -> None:
    one = fresh(MAYFLY_CHECKPOINT_S="0.3")
    one.start()
    name = one.post(JOB)
    one.wait_log(name, "up")
    until(lambda: _saved(one, name))
    early = one.run("job", "download", "-n", name, "--download-path", str(tmp_path / "early"))
    assert early.status == 0, early.err
    assert (tmp_path / "early" / "artifacts" / "outputs" / "step").read_text() == "7\n"
    _lose_node(one)
    job = one.wait(name, "Completed")
    assert job["attempt"] == 2
    assert one.log(name, "attempt_2/user_logs/std_log.txt") == "from 7 w\n"
    assert _saved(one, name)
    until(lambda: not one.problems())
