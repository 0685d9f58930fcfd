"""Answers in every format, at every width."""

from __future__ import annotations

import json

import pytest
import yaml
from cli_runner import Mayfly

from mayfly.testing.scripted_server import Call, Reply, Script, job_view

NAME = "calm_fig_0123456789"


def _jobs(server: Script, *jobs: dict[str, object]) -> None:
    server.on("GET jobs", {"jobs": list(jobs), "more": False})


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_tables_fit_the_width_and_keep_names_whole(mayfly: Mayfly, server: Script, columns: int) -> None:
    _jobs(server, job_view(NAME, display_name="a very long display name indeed " * 5), job_view("b" * 19))
    done = mayfly("job", "list", COLUMNS=str(columns))
    lines = done.out.splitlines()
    assert done.status == 0
    assert len(lines) == 3
    assert max(map(len, lines)) <= columns
    assert lines[1].startswith(NAME)
    assert "Completed" in lines[1] or columns < 30


def test_a_pipe_gets_everything(mayfly: Mayfly, server: Script) -> None:
    _jobs(server, job_view(NAME, display_name="x" * 300))
    assert "x" * 300 in mayfly("job", "list").out


def test_json_and_yaml_are_the_data(mayfly: Mayfly, server: Script) -> None:
    job = job_view(NAME, display_name="Ünïcödé", tags={"k": "v"})
    server.on(f"GET jobs/{NAME}", job)
    assert json.loads(mayfly("job", "show", "-n", NAME, "-o", "json").out) == job
    assert yaml.safe_load(mayfly("job", "show", "-n", NAME, "--output", "yaml").out) == job


@pytest.mark.parametrize(
    ("query", "output", "expected"),
    [
        ("name", "tsv", f"{NAME}\n"),
        ("name", "table", f"{NAME}\n"),
        ("name", "json", f'"{NAME}"\n'),
        ("phases[].phase", "tsv", "validate\nenvironment\nrun\n"),
        ("[name, status]", "json", f'[\n  "{NAME}",\n  "Completed"\n]\n'),
        ("nothing.here", "tsv", "\n"),
    ],
)
def test_query(mayfly: Mayfly, server: Script, query: str, output: str, expected: str) -> None:
    server.on(f"GET jobs/{NAME}", job_view(NAME))
    assert mayfly("job", "show", "-n", NAME, "--query", query, "-o", output).out == expected


def test_query_of_a_list_is_a_table(mayfly: Mayfly, server: Script) -> None:
    _jobs(server, job_view(NAME), job_view("other"))
    done = mayfly("job", "list", "--query", "[].{job: name, state: status}")
    assert done.out.splitlines()[0].split() == ["JOB", "STATE"]
    assert done.out.splitlines()[2].split() == ["other", "Completed"]


def test_a_wrong_query_is_bad_input(mayfly: Mayfly, server: Script) -> None:
    server.on(f"GET jobs/{NAME}", job_view(NAME))
    done = mayfly("job", "show", "-n", NAME, "--query", "[")
    assert done.status == 2
    assert "[QueryInvalid]" in done.err
    assert done.out == ""


def test_control_characters_are_shown_not_obeyed(mayfly: Mayfly, server: Script) -> None:
    nasty = "\x1b[2Jgone\x07\u202e\x9b31m\nsecond"
    _jobs(server, job_view(NAME, display_name=nasty))
    done = mayfly("job", "list")
    assert len(done.out.splitlines()) == 2
    for character in "\x1b\x07\u202e\x9b":
        assert character not in done.out
    assert "\\x1b[2Jgone" in done.out
    as_json = mayfly("job", "list", "-o", "json").out
    assert "\x9b" not in as_json
    assert json.loads(as_json)[0]["display_name"] == nasty


def test_who_finds_no_jobs_here_hears_where_there_are_some(mayfly: Mayfly, server: Script) -> None:
    _jobs(server)
    here = {"subscription": "local", "resource_group": "local", "name": "default", "jobs": {"Running": 1}}
    server.on("GET /mayfly/v1/workspaces", [here, {**here, "name": "team", "jobs": {"Completed": 2, "Failed": 1}}])
    said = mayfly("job", "list").out.splitlines()
    options = "--subscription local -g local -w team"
    assert said == ["No jobs yet in local/local/default.", f"3 jobs elsewhere: mayfly job list {options}"]


def test_a_job_of_another_workspace_is_said_to_be_there(mayfly: Mayfly, server: Script) -> None:
    missing = Reply({"error": {"code": "JobNotFound", "message": "There is no job."}}, status=404)
    team = "/mayfly/v1/subscriptions/local/resourceGroups/local/workspaces/team"
    here = {"subscription": "local", "resource_group": "local", "name": "default", "jobs": {"Running": 1}}
    server.on("GET /mayfly/v1/workspaces", [here, {**here, "name": "empty", "jobs": {}}, {**here, "name": "team"}])
    server.on(f"GET jobs/{NAME}", missing)
    server.on(f"GET {team}/jobs/{NAME}", job_view(NAME))
    done = mayfly("job", "show", NAME)
    assert done.status != 0 and "add --subscription local -g local -w team" in done.err
    server.on(f"GET {team}/jobs/{NAME}", missing)
    assert "another workspace" not in mayfly("job", "show", NAME).err


def test_place_options_and_variables_choose_the_workspace(
    mayfly: Mayfly, server: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = "/mayfly/v1/subscriptions/s/resourceGroups/a b/workspaces/w"
    server.on(f"GET {base}/usage", [])
    assert mayfly("usage", "-g", "a b", "-w", "w", "--subscription", "s").status == 0
    monkeypatch.setenv("MAYFLY_SUBSCRIPTION", "s")
    monkeypatch.setenv("MAYFLY_RESOURCE_GROUP", "a b")
    monkeypatch.setenv("MAYFLY_WORKSPACE", "w")
    assert mayfly("ml", "usage").status == 0
    assert len(server.asked(f"GET {base}/usage")) == 2


def test_a_name_stays_one_part_of_the_path(mayfly: Mayfly, server: Script) -> None:
    mayfly("job", "show", "-n", "../../x")
    assert server.calls[-1].path.endswith("/jobs/../../x")
    assert mayfly("job", "show", "..").status == 4


def test_lists_come_page_by_page(mayfly: Mayfly, server: Script) -> None:
    names = [f"job{i:03}" for i in range(250)]

    def page(call: Call) -> Reply:
        start = names.index(call.query["after"]) + 1 if "after" in call.query else 0
        shown = names[start : start + int(call.query["limit"])]
        return Reply({"jobs": [job_view(n) for n in shown], "more": start + len(shown) < len(names)})

    server.on("GET jobs", page)
    assert mayfly("job", "list", "--all-results", "--query", "[].name", "-o", "tsv").out.split() == names
    assert mayfly("job", "list", "-r", "120", "--query", "length(@)", "-o", "tsv").out == "120\n"


def test_sizes_quota_and_usage(mayfly: Mayfly, server: Script) -> None:
    size = {
        "name": "Standard_NC6",
        "family": "standardNCFamily",
        "vcpus": 6,
        "memory_gib": 56.0,
        "disk_gib": 380.0,
        "gpus": 1,
        "gpu_model": "K80",
        "standard_usd_per_hour": None,
        "spot_usd_per_hour": 0.003,
        "price_source": "",
        "own": False,
        "retired": True,
        "available": False,
        "note": "",
    }
    quota = {"scope": "subscription:local", "family": "f", "tier": "Standard", "limit": 24, "held": 4, "default": True}
    server.on("GET sizes", [size])
    server.on("PUT quotas", [quota])
    server.on("GET quotas", [quota])
    server.on(
        "GET usage", [{"name": "Serverless", "family": "f", "tier": "Standard", "held": 4, "limit": 24, "jobs": 2}]
    )
    sizes = mayfly("compute", "list-sizes").out
    assert "unknown" in sizes and "$0.0030/h" in sizes and "retired" in sizes and "1 × K80" in sizes
    assert "default" in mayfly("quota", "list").out
    done = mayfly("quota", "update", "--family", "f", "--limit", "24", "--tier", "spot", "--scope", "workspace")
    assert done.status == 0
    assert server.asked("PUT quotas")[0].json() == {"family": "f", "limit": 24, "tier": "Spot", "scope": "workspace"}
    assert "Serverless" in mayfly("usage").out


def test_explain_shows_candidates_phases_and_the_command_to_type(mayfly: Mayfly, server: Script) -> None:
    server.on(
        f"GET jobs/{NAME}/explanation",
        {
            "name": NAME,
            "status": "Queued",
            "sentence": "It waits for 2 more cores of quota.",
            "missing": "quota",
            "candidates": [
                {"instance_type": "local_2", "score": 0.5, "factors": {"cost": 1.0}, "chosen": True},
                {"instance_type": "Standard_E4s_v3", "reason": "too little quota"},
            ],
            "phases": [{"phase": "quota", "milliseconds": 3200, "open": True, "cause": "2 cores are missing"}],
            "quota": [
                {"scope": "s", "family": "local", "tier": "Standard", "limit": 2, "held": 2, "needed": 2},
            ],
            "capacity_total": 2,
            "capacity_held": 2,
            "place_in_queue": 1,
            "advice": {
                "change": "quota",
                "sentence": "raise the limit to 4",
                "set": {"family": "local", "limit": 4},
            },
        },
    )
    out = mayfly("job", "explain", NAME).out
    for words in ("waits for 2 more cores", "chosen (cost 1.00)", "too little quota", "3.2 s so far", "2 of 2 cores"):
        assert words in out
    assert "mayfly quota update --family local --limit 4" in out


def test_status_shows_the_server(mayfly: Mayfly, server: Script) -> None:
    out = mayfly("status").out
    assert server.url in out and "2 Running" in out
