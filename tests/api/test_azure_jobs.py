"""Jobs by the doors shaped as Azure's: what is sent comes back with what has become of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from azure_client import WS, command, signed_in

from mayfly.services import jobs
from mayfly.services.places import Place
from mayfly.store import codec
from mayfly.testing.serving import House

HERE = Place("sub", "rg", "ws")
HISTORY = f"/history/v1.0{WS}"


@pytest.fixture
def azure(house: House) -> Iterator[httpx.Client]:
    with signed_in(house) as client:
        yield client


def test_a_command_job_is_kept_as_it_came_and_runs_as_our_own_would(house: House, azure: httpx.Client) -> None:
    sent = command(resources={"instanceCount": 1, "shmSize": "1g"}, queueSettings={"jobTier": "Spot", "priority": 3})
    answer = azure.put(f"{WS}/jobs/one", json=sent, params={"api-version": "2025-01-01-preview"})
    told = answer.json()["properties"]
    assert answer.status_code == 201 and told["status"] == "Queued"
    assert {key: told[key] for key in ("command", "environmentId", "unknownToUs", "limits", "inputs")} == {
        key: sent["properties"][key] for key in ("command", "environmentId", "unknownToUs", "limits", "inputs")
    }
    assert "was made for this job" in told["properties"]["mayfly.notes"]
    row = jobs.find(house.stage.world, HERE, "one")
    assert (row.priority, codec.load(row.work)["timeout_s"], codec.load(row.work)["literals"]) == (
        3,
        3600,
        {"rate": "0.1"},
    )
    again = azure.put(f"{WS}/jobs/one", json=command(**sent["properties"], tags={"a": "b"}))
    assert (again.status_code, again.json()["properties"]["tags"]) == (200, {"a": "b"})
    other = azure.put(f"{WS}/jobs/one", json=command(command="echo other"))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "JobNameTaken")


def test_what_is_wrong_is_said_in_one_message(azure: httpx.Client) -> None:
    answer = azure.put(f"{WS}/jobs/bad", json=command(command="echo ${{inputs.rat}}", limits={"timeout": "1 h"}))
    assert (answer.status_code, "PT1H30M" in answer.json()["error"]["message"]) == (400, True)
    answer = azure.put(f"{WS}/jobs/bad", json=command(command="echo ${{inputs.rat}}"))
    assert answer.status_code == 400 and "command: " in answer.json()["error"]["message"]
    assert azure.get(f"{WS}/jobs/none").status_code == 404


def test_types_that_do_not_run_are_kept_and_say_so(azure: httpx.Client) -> None:
    asked = {
        "trial": {"command": "x", "environmentId": "azureml:some:1"},
        "searchSpace": {"lr": ["uniform", [0, 1]]},
        "samplingAlgorithm": {"samplingAlgorithmType": "Random"},
        "objective": {"goal": "Maximize", "primaryMetric": "accuracy"},
    }
    sent = {"properties": {"jobType": "Sweep", **asked}}
    told = azure.put(f"{WS}/jobs/swept", json=sent).json()["properties"]
    assert told["searchSpace"] == sent["properties"]["searchSpace"]
    assert (told["status"], told["error"]["code"]) == ("Failed", "JobTypeNotSupported")
    assert azure.get(f"{HISTORY}/runs/swept/details").json()["error"]["error"]["code"] == "JobTypeNotSupported"
    assert azure.put(f"{WS}/jobs/swept", json=command()).status_code in (400, 409)
    azure.put(f"{WS}/jobs/plain", json=command())
    assert azure.put(f"{WS}/jobs/plain", json=sent).status_code == 409
    assert {one["name"] for one in azure.get(f"{WS}/jobs").json()["value"]} == {"swept", "plain"}


def test_lists_are_paged_and_hide_what_is_archived(azure: httpx.Client) -> None:
    assert azure.get(f"{WS}/jobs").json() == {"value": []}
    for number in range(103):
        azure.put(f"{WS}/jobs/job-{number}", json=command())
    azure.patch(
        f"{HISTORY}/experiments/first/runs/job-0", json={"hidden": True, "tags": {"x": "1"}, "displayName": "D"}
    )
    first = azure.get(f"{WS}/jobs", params={"listViewType": "ActiveOnly"}).json()
    rest = azure.get(first["nextLink"].partition("://")[2].partition("/")[2].join(("/", ""))).json()
    assert (len(first["value"]), len(rest["value"]), "nextLink" in rest) == (100, 2, False)
    hidden = azure.get(f"{WS}/jobs", params={"listViewType": "ArchivedOnly"}).json()["value"]
    assert [(one["name"], one["properties"]["displayName"], one["properties"]["tags"]) for one in hidden] == [
        ("job-0", "D", {"x": "1"})
    ]


def test_cancelling_and_deleting_are_waited_for(azure: httpx.Client) -> None:
    azure.put(f"{WS}/jobs/one", json=command())
    assert azure.delete(f"{WS}/jobs/one").status_code == 409
    begun = azure.post(f"{WS}/jobs/one/cancel")
    assert begun.status_code == 202
    path = "/" + begun.headers["location"].partition("://")[2].partition("/")[2]
    assert azure.get(path).json()["status"] == "Succeeded"
    canceled = azure.get(f"{WS}/jobs/one").json()["properties"]
    assert (canceled["status"], canceled["properties"]["mayfly.error"]) == ("Canceled", "Canceled by ann.")
    told = [azure.get(f"{HISTORY}/runs/one/details").json() for _ in range(2)][
        1
    ]  # of a job that has ended the first says that it ends
    assert told["error"]["error"]["message"] == "Canceled by ann."
    assert told["warnings"][-1]["message"] == "Canceled by ann."  # which the SDK prints; of no error but a failed job's
    assert azure.delete(f"{WS}/jobs/one").status_code == 202
    assert azure.get(f"{WS}/jobs/one").status_code == 404
    assert azure.put(f"{WS}/jobs/one", json=command(command="echo other")).status_code == 409


def test_a_log_is_read_by_its_address_alone_and_by_no_other(house: House, azure: httpx.Client) -> None:
    azure.put(f"{WS}/jobs/one", json=command())
    world = house.stage.world
    job = jobs.find(world, HERE, "one").job.id
    world.logs.append(job, 1, 0, "user_logs/std_log.txt", 0, b"hello\n")
    azure.post(f"{WS}/jobs/one/cancel")
    first, second = (azure.get(f"{HISTORY}/runs/one/details").json() for _ in range(2))
    assert (first["status"], second["status"]) == ("Finalizing", "Canceled")  # the SDK then prints the log
    path = (
        "/"
        + first["logFiles"]["user_logs/std_log.txt"].partition("/logfiles")[1][1:]
        + first["logFiles"]["user_logs/std_log.txt"].partition("/logfiles")[2]
    )
    with house.client(headers={}) as anybody:
        assert anybody.get(path).text == "hello\n"
        assert anybody.get(path.replace("std_log", "std_log2")).status_code == 401
        assert anybody.get(path[:-1] + ("A" if path[-1] != "A" else "B")).status_code == 401
        house.stage.clock.advance(25 * 3_600_000)
        assert anybody.get(path).json()["error"]["code"] == "AddressExpired"


def test_a_jobs_page_opens_by_its_address_and_shows_what_others_wrote_as_text(
    house: House, azure: httpx.Client
) -> None:
    azure.put(f"{WS}/jobs/one", json=command(displayName="<script>x</script>"))
    services = azure.get(f"{WS}/jobs/one").json()["properties"]["services"]
    page = services["Studio"]["endpoint"]
    assert page.startswith(f"{house.url}/jobs/") and services["Tracking"]["endpoint"].startswith(house.url)
    again = command(displayName="<script>x</script>", services=services)
    assert services == azure.put(f"{WS}/jobs/one", json=again).json()["properties"]["services"]
    with house.client(headers={}) as anybody:
        shown = anybody.get(f"{page}&tid=added-by-the-sdk")
        assert shown.status_code == 200 and "default-src 'none'" in shown.headers["content-security-policy"]
        assert "&lt;script&gt;x" in shown.text and "<script" not in shown.text and "http-equiv" in shown.text
        assert anybody.get(page[:-1] + ("A" if page[-1] != "A" else "B")).status_code == 401
        assert anybody.get(page.replace("?se=1", "?se=2")).status_code == 401
        house.stage.clock.advance(8 * 24 * 3_600_000)
        assert anybody.get(page).json()["error"]["code"] == "AddressExpired"


def test_a_name_with_a_slash_is_told_to_be_none(azure: httpx.Client) -> None:
    answer = azure.put(f"{WS}/jobs/a%20b/c", json={"properties": {"jobType": "Command", "command": "true"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "AddressInvalid")
    assert "no '/'" in answer.text
