"""What a job sees of the machine, of Mayfly and of other jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mayfly.testing.embedded import HELLO, Embedded
from mayfly.testing.nodes import until

pytestmark = pytest.mark.end_to_end


def test_a_job_is_in_namespaces_of_its_own_and_sees_nothing_of_mayfly(shared: Embedded) -> None:
    other = shared.post({**HELLO, "command": "echo mine > secret.txt; chmod 644 secret.txt; echo up; sleep 60"})
    shared.wait_log(other, "up")
    written = next((shared.folder / "nodes").glob("*/attempts/*/code/secret.txt"))
    theirs = written.parents[3].name
    secrets = [
        shared.folder / "token",
        shared.folder / "secret",
        shared.folder / "mayfly.db",
        shared.folder / "nodes" / theirs / "node.json",
        written,
    ]
    assert all(path.exists() for path in secrets)
    look = "; ".join(f"cat {path} 2>/dev/null && echo SEEN {path.name}" for path in secrets)
    name = shared.post({**HELLO, "command": f"{look}; ls {shared.folder} {shared.folder}/nodes; echo up; sleep 60"})
    shared.wait_log(name, "up")
    job = shared.wait(name, "Running")
    node = next(one for one in shared.nodes() if one != theirs)
    pid = until(lambda: shared.user_process(node))
    if job["isolation"] in ("bubblewrap", "namespaces"):
        agent = shared.agent(node)
        for kind in ("mnt", "pid", "user"):
            assert Path(f"/proc/{pid}/ns/{kind}").readlink() != Path(f"/proc/{agent}/ns/{kind}").readlink(), kind
        assert "server.json" not in shared.log(name)
    if job["isolation"] != "none":
        assert "SEEN" not in shared.log(name)
    for one in (name, other):
        shared.call("POST", f"/jobs/{one}/cancel", {})
        shared.wait(one, "Canceled")


def test_a_job_has_a_home_a_temporary_folder_and_no_secret_of_the_server(shared: Embedded) -> None:
    name = shared.post({**HELLO, "command": "touch ~/a /tmp/b && echo wrote; env"})
    shared.wait(name, "Completed")
    log = shared.log(name)
    assert log.startswith("wrote\n")
    assert (shared.folder / "token").read_text().strip() not in log
    assert not (Path("/tmp") / "b").exists()


def test_every_door_wants_a_token_and_a_jobs_opens_only_its_own(shared: Embedded) -> None:
    code = (
        "import os, urllib.request, urllib.error, json\n"
        "url, token = os.environ['MLFLOW_TRACKING_URI'], os.environ.get('MLFLOW_TRACKING_TOKEN', '')\n"
        f"server = {shared.record['url']!r}\n"
        "told = []\n"
        "for path in ('/mayfly/v1/server', '/mayfly/v1/subscriptions/local/resourceGroups/local/workspaces/default/jobs',"
        " '/agent/v1/wishes'):\n"
        "    for headers in ({}, {'Authorization': 'Bearer ' + token}):\n"
        "        try:\n"
        "            urllib.request.urlopen(urllib.request.Request(server + path, headers=headers), timeout=10)\n"
        "            told.append(200)\n"
        "        except urllib.error.HTTPError as error:\n"
        "            told.append(error.code)\n"
        "print(json.dumps(told))\n"
    )
    path = shared.write({**HELLO, "code": ".", "command": "python ask.py"})
    (path.parent / "ask.py").write_text(code)
    name = shared.json("job", "create", "-f", str(path))["name"]
    shared.wait(name, "Completed")
    assert set(json.loads(shared.log(name))) <= {401, 403, 404, 405}
