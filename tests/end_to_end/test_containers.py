"""Images by a real podman, made of this machine's own programs: no registry is asked. `.ci/run` installs podman; where it
is missing, these tests say so, and fail where MAYFLY_NEEDS_PODMAN is set."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mayfly.testing.embedded import Embedded, Make
from mayfly.testing.images import DOCKERFILE, storage
from mayfly.testing.images import context as make
from mayfly.testing.nodes import until

pytestmark = [pytest.mark.end_to_end]


@pytest.fixture(scope="module", autouse=True)
def podman() -> None:
    if shutil.which("podman") is None:
        assert not os.environ.get("MAYFLY_NEEDS_PODMAN"), "podman is not installed"
        pytest.skip("podman is not installed")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables that give podman a storage of its own, away from the machine's."""
    place = tmp_path_factory.mktemp("engine")
    variables = storage(place)
    yield variables
    subprocess.run(
        ["podman", "system", "reset", "--force"],
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
    )


@pytest.fixture
def server(fresh: Make, engine: dict[str, str]) -> Embedded:
    one = fresh(**engine)
    one.start()
    return one


def _job(context: Path, command: str) -> dict[str, object]:
    return {"command": command, "environment": {"build": {"path": str(context)}}}


def test_a_job_runs_in_what_its_dockerfile_says(server: Embedded, tmp_path: Path) -> None:
    context = make(tmp_path / "docker")
    (context / "left").mkdir()
    (context / "left" / "secret").write_text("s", encoding="utf-8")
    (context / ".dockerignore").write_text("left\n", encoding="utf-8")
    command = (
        'cat /made; echo "as $WHO in $(ls /usr/bin)"; ls /usr/lib/python3* /opt || echo "nothing of the machine";'
        "echo kept > outputs/model; touch /lib/mine && echo writable"
    )
    name = server.submit(_job(context, command))
    job = server.wait(name, "Completed")
    log = server.log(name)
    assert log.startswith("built: here\nas image in id\n")
    assert log.endswith("nothing of the machine\nwritable\n")
    assert "COPY root" in server.log(name, "azureml-logs/20_environment_resolve_log.txt")
    assert "Built from Dockerfile" in job["environment_note"]
    again = server.submit(_job(context, "ls /lib/mine && exit 3; cat /made"))
    server.wait(again, "Completed")
    other = server.submit(_job(make(tmp_path / "other", "there"), "cat /made"))
    server.wait(other, "Completed")
    assert server.log(other) == "built: there\n"
    until(lambda: not server.problems())


def test_an_image_that_is_here_runs_by_its_name(server: Embedded, engine: dict[str, str], tmp_path: Path) -> None:
    root = make(tmp_path / "mine") / "root"
    (root / "made").write_text("imported\n", encoding="utf-8")
    packed = subprocess.run(["tar", "-c", "-C", str(root), "."], capture_output=True, check=True).stdout
    argv = ["podman", "import", "--change", "ENV PATH=/usr/bin:/bin", "-", "localhost/mine:1"]
    subprocess.run(argv, input=packed, env={**os.environ, **engine}, capture_output=True, check=True)
    name = server.submit({"command": "cat /made && id -un", "environment": {"image": "localhost/mine:1"}})
    assert "localhost/mine:1" in server.wait(name, "Completed")["environment_note"]
    assert server.log(name).startswith("imported\n")


def test_a_build_that_fails_says_the_builders_words(server: Embedded, tmp_path: Path) -> None:
    context = make(tmp_path / "bad")
    (context / "Dockerfile").write_text(DOCKERFILE + "RUN cat /no/such/file\n", encoding="utf-8")
    name = server.submit(_job(context, "true"))
    job = server.wait(name, "Failed")
    assert job["error"]["code"] == "ImageBuildFailed"
    assert "/no/such/file" in job["error"]["message"]
    said = server.run("job", "create", "-f", str(server.write(_job(context, "true"))))
    assert said.status and "could not be made at an earlier try" in said.err
    until(lambda: not server.problems())


def test_a_context_without_its_dockerfile_is_refused_at_its_line(server: Embedded, tmp_path: Path) -> None:
    context = make(tmp_path / "named")
    path = tmp_path / "job.yml"
    path.write_text(
        f"command: 'true'\nenvironment:\n  build:\n    path: {context}\n    dockerfile_path: Dockerfil\n",
        encoding="utf-8",
    )
    said = server.run("job", "create", "-f", str(path))
    assert said.status == 2 and "job.yml:4:" in said.err and "Did you mean 'dockerfile_path: Dockerfile'?" in said.err


def test_a_build_holds_quota_and_a_killed_server_loses_none_of_it(
    fresh: Make, engine: dict[str, str], tmp_path: Path
) -> None:
    one, marker = fresh(**engine), tmp_path / "died"
    one.start(MAYFLY_KILL_AT="server:build reserved:after", MAYFLY_KILL_ONCE=str(marker))
    context = make(tmp_path / "slow")
    (context / "Dockerfile").write_text(DOCKERFILE + "RUN sleep 4\n", encoding="utf-8")
    path = one.write({**_job(context, "cat /made; echo 0"), "name": "first"})
    one.run("job", "create", "-f", str(path))  # the server may be dead before its answer is read
    until(marker.exists, 40)
    until(lambda: not one.up)
    one.start()
    names = ["first", one.submit(_job(context, "cat /made; echo 1"))]
    until(lambda: any(row["family"] == "local" and row["held"] for row in one.call("GET", "/usage")))
    assert one.job(names[0])["status"] == "Queued"
    assert "is being built" in one.call("GET", f"/jobs/{names[0]}/explanation")["sentence"]
    for number, name in enumerate(names):
        one.wait(name, "Completed")
        assert one.log(name).endswith(f"{number}\n")
    until(lambda: not one.problems())
    assert not any(row["held"] for row in one.json("usage"))


def test_a_build_that_nobody_waits_for_ends_and_holds_nothing(server: Embedded, tmp_path: Path) -> None:
    context = make(tmp_path / "unwanted")
    (context / "Dockerfile").write_text(DOCKERFILE + "RUN sleep 300\n", encoding="utf-8")
    name = server.submit(_job(context, "true"))
    until(lambda: any(row["held"] for row in server.json("usage")))
    server.run("job", "cancel", "-n", name)
    server.wait(name, "Canceled")
    until(lambda: not any(row["held"] for row in server.json("usage")), 20)
    until(lambda: not server.problems())


def test_steps_of_a_pipeline_share_what_is_built_for_them(server: Embedded, tmp_path: Path) -> None:
    step = _job(make(tmp_path / "docker"), "cat /made > ${{outputs.made}}/text")
    first = {**step, "outputs": {"made": {"type": "uri_folder"}}}
    given = {"made": "${{parent.jobs.first.outputs.made}}"}
    second = {**step, "command": "cat ${{inputs.made}}/text /made", "inputs": given}
    name = server.submit({"type": "pipeline", "jobs": {"first": first, "second": second}})
    job = server.wait(name, "Completed")
    assert server.log(next(one["job"] for one in job["steps"] if one["name"] == "second")) == "built: here\n" * 2


def test_a_registered_build_is_made_before_any_job_needs_it(server: Embedded, tmp_path: Path) -> None:
    make(tmp_path / "docker")
    path = tmp_path / "env.yml"
    path.write_text("name: boxed\nbuild:\n  path: docker\n", encoding="utf-8")
    assert server.run("environment", "create", "-f", str(path)).status == 0
    built = server.run("environment", "build", "boxed")
    assert built.status == 0, built.err
    name = server.submit({"command": "cat /made", "environment": "azureml:boxed@latest"})
    server.wait(name, "Completed")
    assert server.log(name) == "built: here\n"
    assert server.log(name, "azureml-logs/20_environment_resolve_log.txt") == ""
