"""The command line on a wire that loses the first answer to every call that changes something: the server has heard it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mayfly.cli import app
from mayfly.engine.pipelines import Pipelines
from mayfly.main.making import RandomIds, SteadyClock
from mayfly.testing.scripted_server import TOKEN, Call, Reply, scripted_server
from mayfly.testing.serving import House

Mayfly = Callable[..., int]
JOB = {"command": "true", "environment": {"image": "library/python:latest"}}
FLOW = {"type": "pipeline", "jobs": {"one": JOB, "two": {**JOB, "depends_on": ["one"]}}}


class _Lossy(dict[str, Any]):
    """A server's answers to calls about jobs, each first one of a POST cut off."""

    def __init__(self, house: House, others: dict[str, Any]) -> None:
        super().__init__(others)
        self._house = house
        self._lost: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, self._ask)

    def _ask(self, call: Call) -> Reply:
        with self._house.client() as client:
            own = {"Content-Type": "application/json"}
            answer = client.request(call.method, call.path, content=call.body, params=dict(call.query), headers=own)
        lost = call.method == "POST" and call.path not in self._lost
        self._lost.add(call.path)
        return Reply(answer.json(), answer.status_code, then_cut=lost)


@pytest.fixture
def mayfly(house: House, tmp_path: Path) -> Iterator[Mayfly]:
    clock = SteadyClock()
    with scripted_server() as wire:
        wire.answers = _Lossy(house, wire.answers)
        own = {"HOME": str(tmp_path), "MAYFLY_HOME": str(tmp_path / "home")}
        environ = {**own, "MAYFLY_SERVER": wire.url, "MAYFLY_TOKEN": TOKEN}
        yield lambda *args: app.main(list(map(str, args)), environ, clock, RandomIds(clock).name)


def _file(folder: Path, name: str, definition: dict[str, Any]) -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump(definition))
    return file


def _jobs(house: House) -> list[dict[str, Any]]:
    return house.ask("GET", "jobs").json()["jobs"]


@pytest.mark.parametrize(("definition", "options"), [(JOB, ()), (FLOW, ()), (FLOW, ("--only", "one"))])
def test_a_submission_whose_answer_is_lost_is_one_job(
    house: House, mayfly: Mayfly, tmp_path: Path, definition: dict[str, Any], options: tuple[str, ...]
) -> None:
    assert mayfly("job", "create", "-f", _file(tmp_path, "job.yml", definition), *options) == 0
    (job,) = _jobs(house)
    assert "name" not in job["definition"]


def test_several_in_one_call_are_as_many_jobs(house: House, mayfly: Mayfly, tmp_path: Path) -> None:
    assert mayfly("job", "batch", _file(tmp_path, "a.yml", JOB), _file(tmp_path, "b.yml", JOB)) == 0
    assert len(_jobs(house)) == 2


@pytest.mark.parametrize("definition", [JOB, FLOW])
def test_another_try_whose_answer_is_lost_is_one_job(
    house: House, mayfly: Mayfly, tmp_path: Path, definition: dict[str, Any]
) -> None:
    mayfly("job", "create", "-f", _file(tmp_path, "job.yml", {**definition, "name": "first"}))
    mayfly("job", "cancel", "first")
    Pipelines(house.stage.world).work()
    assert mayfly("job", "retry", "first") == 0
    again, first = _jobs(house)
    assert (first["name"], again["properties"]["mayfly.retryOf"]) == ("first", "first")
    assert mayfly("job", "retry", "first") == 0
    assert len(_jobs(house)) == 3


def test_a_name_that_is_none_is_refused(house: House) -> None:
    answer = house.ask("POST", "jobs", json={**house.body(), "name": "../x"})
    assert (answer.status_code, "name" in answer.text, _jobs(house)) == (400, True, [])
