"""Failures: one line each, the remedy on a line of its own, a stable code, and the documented exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import Mayfly

from mayfly.testing.scripted_server import Script, job_view, refusal, server_view


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, 2), (401, 3), (403, 3), (404, 4), (409, 2), (422, 3), (503, 5), (500, 1)],
)
def test_each_kind_has_its_exit_status(mayfly: Mayfly, server: Script, status: int, expected: int) -> None:
    server.on("GET jobs/x", refusal(status, "SomeCode", "It cannot be.", remedy="Do that."))
    done = mayfly("job", "show", "-n", "x")
    assert done.status == expected
    assert done.err.splitlines() == ["error: It cannot be. [SomeCode]", "hint: Do that."]
    assert done.out == ""


def test_every_fault_has_its_line(mayfly: Mayfly, server: Script) -> None:
    details = [{"code": "One", "message": "first\nbroken"}, {"code": "Two", "message": "second", "remedy": "mend it"}]
    server.on("GET jobs/x", refusal(400, "Invalid", "Two faults.", details=details))
    done = mayfly("job", "show", "x")
    assert done.err.splitlines() == ["error: first broken [One]", "error: second [Two]", "hint: mend it"]


def test_json_errors(mayfly: Mayfly, server: Script) -> None:
    server.on("GET jobs/x", refusal(422, "QuotaTooSmall", "No.", remedy="Ask.", target="/resources"))
    done = mayfly("job", "show", "x", "-o", "json")
    assert done.status == 3
    assert json.loads(done.err) == {
        "error": {"code": "QuotaTooSmall", "message": "No.", "target": "/resources", "remedy": "Ask.", "details": []}
    }


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("jop",), "Did you mean 'job'?"),
        (("job", "lst"), "Did you mean 'list'?"),
        (("job", "list", "--nonsense"), "--nonsense"),
        (("job", "list", "-o", "xml"), "xml"),
        (("job", "show"), "No name"),
        (("job", "show", "a", "-n", "b"), "Two names"),
        (("job", "list", "-r", "0"), "0"),
        (("quota", "update", "--family", "f", "--limit", "-1"), "-1"),
        (("down", "--drain", "--cancel-jobs"), "exclude"),
        (("job", "download", "x", "--all", "--output-name", "y"), "exclude"),
    ],
)
def test_wrong_usage(mayfly: Mayfly, args: tuple[str, ...], words: str) -> None:
    done = mayfly(*args)
    assert done.status == 2
    assert words in done.err
    assert "Traceback" not in done.err


def test_wrong_usage_as_json(mayfly: Mayfly) -> None:
    done = mayfly("job", "list", "-o", "json", "--nonsense")
    assert json.loads(done.err)["error"]["code"] == "UsageInvalid"


def test_a_server_of_another_version_is_named(mayfly: Mayfly, server: Script) -> None:
    server.on("GET /mayfly/v1/server", server_view(version="9.9.9"))
    done = mayfly("job", "list")
    assert done.status == 2
    assert "[VersionMismatch]" in done.err and "9.9.9" in done.err and "mayfly-ml==9.9.9" in done.err
    assert mayfly("status").status == 0


def test_a_wrong_token_is_refused(mayfly: Mayfly) -> None:
    done = mayfly("usage", MAYFLY_TOKEN="another")
    assert done.status == 3
    assert "[TokenWrong]" in done.err


def test_the_token_may_lie_in_a_file(mayfly: Mayfly, server: Script, tmp_path: Path) -> None:
    server.on("GET usage", [])
    (tmp_path / "token").write_text("a-token\n")
    assert mayfly("usage", MAYFLY_TOKEN="", MAYFLY_TOKEN_FILE=str(tmp_path / "token")).status == 0
    assert mayfly("usage", MAYFLY_TOKEN="", MAYFLY_TOKEN_FILE=str(tmp_path / "none")).status == 2
    assert "[TokenMissing]" in mayfly("usage", MAYFLY_TOKEN="").err


def test_a_remote_server_that_is_away_starts_nothing(mayfly: Mayfly, tmp_path: Path) -> None:
    done = mayfly("usage", MAYFLY_SERVER="http://127.0.0.1:9")
    assert done.status == 5
    assert "[ServerUnreachable]" in done.err
    assert not (tmp_path / "state").exists()


def test_no_autostart(mayfly: Mayfly, tmp_path: Path) -> None:
    done = mayfly("usage", MAYFLY_SERVER="", MAYFLY_AUTOSTART="0")
    assert done.status == 5
    assert len(done.err.splitlines()) == 2
    assert "mayfly up --detach" in done.err
    assert not (tmp_path / "state").exists()


def test_status_and_down_start_nothing(mayfly: Mayfly, tmp_path: Path) -> None:
    assert mayfly("status", MAYFLY_SERVER="").status == 5
    assert mayfly("down", MAYFLY_SERVER="").status == 0
    assert not (tmp_path / "state").exists()


def test_a_stale_record_is_no_server(mayfly: Mayfly, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "token").write_text("t")
    (state / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": 2**22 + 1, "version": "0"}))
    assert "[ServerNotRunning]" in mayfly("usage", MAYFLY_SERVER="", MAYFLY_AUTOSTART="0").err


def test_an_address_that_may_not_have_the_token(mayfly: Mayfly) -> None:
    done = mayfly("usage", MAYFLY_SERVER="http://example.org")
    assert done.status == 2
    assert "[AddressInvalid]" in done.err


def test_cancel_says_the_state(mayfly: Mayfly, server: Script) -> None:
    server.on("POST jobs/x/cancel", job_view("x", status="CancelRequested"))
    done = mayfly("job", "cancel", "-n", "x", "--reason", "enough")
    assert done.out == "x is CancelRequested.\n"
    assert server.asked("POST jobs/x/cancel")[0].json() == {"reason": "enough"}
