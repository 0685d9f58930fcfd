"""From a job file to a request: what is sent, what is said, and where a fault is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import Mayfly

from mayfly.cli.app import spread_lists
from mayfly.testing.scripted_server import Call, Reply, Script, events, job_view, refusal
from mayfly.transfer import packs

JOB = """\
command: python main.py
code: ./src
environment: {image: library/python:latest}
resources: {instance_count: 1}
"""


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--set", "a=1"], ["--set", "a=1"]),
        (
            ["--set", "a=1", "b.c=2", "d=x=y", "-f", "x=y.yml"],
            ["--set", "a=1", "--set", "b.c=2", "--set", "d=x=y", "-f", "x=y.yml"],
        ),
        (["--set", "a=1", "--set", "b=2", "c=3"], ["--set", "a=1", "--set", "b=2", "--set", "c=3"]),
        (["job", "show", "n=1"], ["job", "show", "n=1"]),
        (["--set", "a=1", "NAME", "b=2"], ["--set", "a=1", "NAME", "b=2"]),
    ],
)
def test_one_set_may_take_several_values_as_az_does(given: list[str], meant: list[str]) -> None:
    assert spread_lists(given) == meant


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("print('hello')\n")
    file = tmp_path / "job.yml"
    file.write_text(JOB)
    return file


@pytest.fixture
def content(server: Script) -> dict[str, bytes]:
    """What was uploaded, by digest."""
    held: dict[str, bytes] = {}

    def store(call: Call) -> Reply:
        for digest, _, chunks in packs.read([call.body]):
            held[digest] = b"".join(chunks)
        return Reply({"stored": len(held)})

    def missing(call: Call) -> Reply:
        return Reply({"missing": [digest for digest in call.json()["digests"] if digest not in held]})

    def put_tree(call: Call) -> Reply:
        held[call.path.rpartition("/")[2]] = call.body
        return Reply(None, 200)

    server.on("POST content/missing", missing)
    server.on("POST content/blobs", store)

    class Trees(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            return put_tree if key.startswith("PUT") and "/content/trees/" in key else super().get(key, default)

    server.answers = Trees(server.answers)  # pyright: ignore[reportAttributeAccessIssue]
    return held


def test_create_uploads_and_submits(mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path) -> None:
    server.on("POST jobs", Reply(job_view("new_job", status="Queued", notes=["unknown compute"]), 201))
    done = mayfly("job", "create", "-f", str(job_file), "--set", "resources.instance_count=2", "--name", "new_job")
    assert done.status == 0, done.err
    assert done.out.splitlines() == ["new_job is Queued.", "Follow it: mayfly job stream -n new_job"]
    assert "note: unknown compute" in done.err
    asked = server.asked("POST jobs")[0].json()
    assert asked["definition"]["name"] == "new_job"
    assert asked["definition"]["resources"]["instance_count"] == 2
    assert asked["uploads"]["/code"] in content
    assert b"print('hello')\n" in content.values()
    again = mayfly("job", "create", "-f", str(job_file), "--query", "name", "-o", "tsv")
    assert again.out == "new_job\n"
    assert len(server.asked("POST content/blobs")) == 1


def test_several_files_are_one_call(mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path) -> None:
    other = job_file.with_name("other.yml")
    other.write_text("# the other one\n" + JOB)
    server.on("POST jobs:batch", Reply({"names": ["one", "two"], "created": 2}, 201))
    done = mayfly("job", "batch", str(job_file), str(other), "--set", "resources.instance_count=2")
    assert done.status == 0, done.err
    assert done.out.splitlines() == ["one is accepted.", "two is accepted."]
    (call,) = server.asked("POST jobs:batch")
    assert [job["definition"]["resources"]["instance_count"] for job in call.json()["jobs"]] == [2, 2]
    server.on("POST jobs:batch", refusal(400, "TooSmall", "At most 1 node.", target="/jobs/1/resources/instance_count"))
    refused = mayfly("job", "batch", str(job_file), str(other))
    assert refused.err.splitlines()[0] == f"{other}:5: At most 1 node. [TooSmall]"


def test_create_and_stream(mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path) -> None:
    server.on("POST jobs", Reply(job_view("new_job", status="Queued"), 201))
    server.on("GET jobs/new_job/stream", Reply(events(("end", job_view("new_job"))), media_type="text/event-stream"))
    done = mayfly("ml", "job", "create", "--file", str(job_file), "--stream")
    assert done.status == 0
    assert "Submitted new_job." in done.err
    assert "Completed" in done.out


def test_the_servers_faults_get_their_lines(
    mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path
) -> None:
    server.on(
        "POST jobs",
        refusal(422, "QuotaTooSmall", "At most 1 node.", target="/resources/instance_count", remedy="Set it to 1."),
    )
    done = mayfly("job", "create", "-f", str(job_file))
    assert done.status == 3
    assert done.err.splitlines() == [f"{job_file}:4: At most 1 node. [QuotaTooSmall]", "hint: Set it to 1."]
    as_json = json.loads(mayfly("job", "create", "-f", str(job_file), "-o", "json").err)["error"]
    assert (as_json["file"], as_json["line"], as_json["message"]) == (str(job_file), 4, "At most 1 node.")


@pytest.mark.parametrize("verb", ["create", "validate", "plan"])
def test_a_wrong_file_is_said_before_anything_is_sent(
    mayfly: Mayfly, server: Script, job_file: Path, verb: str
) -> None:
    job_file.write_text(JOB + "computee: here\ninputs: {a: 1, b: {path: ./gone}}\n")
    done = mayfly("job", verb, "-f", str(job_file))
    assert done.status == 2
    lines = [line for line in done.err.splitlines() if not line.startswith("hint:")]
    assert lines[0].startswith(f"{job_file}:5: ") and lines[0].endswith("[UnknownKey]")
    assert lines[1].startswith(f"{job_file}:6: ") and lines[1].endswith("[FileNotFound]")
    assert [call for call in server.calls if call.method != "GET"] == []


def test_a_wrong_file_whose_code_is_not_there_yet_sends_nothing(
    mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path
) -> None:
    job_file.write_text(JOB + "computee: here\n")
    done = mayfly("job", "create", "-f", str(job_file))
    assert (done.status, done.err.splitlines()[0][-12:]) == (2, "[UnknownKey]")
    assert not content
    assert not server.asked("POST jobs")


def test_what_the_server_finds_in_a_file_is_said_with_all_that_is_wrong_with_it(
    mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path
) -> None:
    server.on("POST jobs", Reply(job_view("new_job", status="Queued"), 201))
    assert mayfly("job", "create", "-f", str(job_file)).status == 0
    job_file.write_text(JOB + "computee: here\n")
    server.on("POST jobs", refusal(400, "UnknownKey", "Unknown.", target="/computee"))
    done = mayfly("job", "create", "-f", str(job_file))
    assert done.status == 2
    assert done.err.splitlines()[0].startswith(f"{job_file}:5: Unknown key 'computee'")
    server.on("POST jobs", refusal(400, "Strange", "Only the server knows.", target="/code"))
    job_file.write_text(JOB)
    assert mayfly("job", "create", "-f", str(job_file)).err.startswith(f"{job_file}:2: Only the server knows.")


@pytest.mark.parametrize("body", ["", "\0\1", "a: [", "- 1"])
def test_files_that_are_no_job(mayfly: Mayfly, job_file: Path, body: str) -> None:
    job_file.write_text(body)
    done = mayfly("job", "create", "-f", str(job_file))
    assert done.status == 2
    assert "Traceback" not in done.err
    assert str(job_file) in done.err


def test_a_missing_file_is_bad_input(mayfly: Mayfly, tmp_path: Path) -> None:
    assert mayfly("job", "create", "-f", str(tmp_path / "no.yml")).status == 2


def test_validate_says_the_notes(mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path) -> None:
    server.on("POST jobs:validate", {"notes": ["identity is not yet enforced"]})
    done = mayfly("job", "validate", "-f", str(job_file))
    assert done.out.splitlines() == [f"{job_file} is valid.", "note: identity is not yet enforced"]


def test_plan_shows_what_would_happen(
    mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path
) -> None:
    server.on(
        "POST jobs:plan",
        {
            "starts_now": False,
            "sentence": "It would wait for capacity.",
            "instance_type": "local_2",
            "instance_count": 2,
            "job_tier": "Standard",
            "emulated": False,
            "price_per_hour": 0.0,
            "list_price_per_hour": 0.2,
            "candidates": [{"instance_type": "local_1", "score": 0.25, "reason": "slower"}],
            "quota": [
                {"scope": "s", "family": "local", "tier": "Standard", "limit": 4, "held": 2, "needed": 4},
            ],
            "capacity_total": 4,
            "capacity_held": 2,
            "capacity_needed": 4,
            "place_in_queue": 3,
            "advice": {
                "change": "node_count",
                "sentence": "run on one node",
                "set": {"resources.instance_count": 1},
            },
            "notes": [],
        },
    )
    out = mayfly("job", "plan", "-f", str(job_file)).out
    for words in ("wait for capacity", "2 × local_2", "place 3 in the queue", "2 of 4 held, 2 left", "slower"):
        assert words in out
    assert f"mayfly job create --file {job_file} --set resources.instance_count=1" in out


def test_plan_and_explain_need_no_upload_twice(
    mayfly: Mayfly, server: Script, content: dict[str, bytes], job_file: Path
) -> None:
    server.on("POST jobs:validate", {"notes": []})
    mayfly("job", "validate", "-f", str(job_file))
    mayfly("job", "validate", "-f", str(job_file))
    assert len(server.asked("POST content/blobs")) == 1
