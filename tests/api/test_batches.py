"""Many jobs in one call."""

from __future__ import annotations

from typing import Any

from mayfly.store import jobs
from mayfly.testing.serving import House


def send(house: House, *bodies: dict[str, Any]):
    return house.ask("POST", "jobs:batch", json={"jobs": list(bodies)})


def there(house: House) -> int:
    return sum(house.stage.world.store.read(jobs.counts).values())


def test_all_are_accepted_with_one_wait_for_the_disk_and_once(house: House) -> None:
    bodies = [house.body(name=f"job-{number}", command=f"echo {number}") for number in range(50)]
    before = house.stage.world.store.commits
    first = send(house, *bodies, house.body())
    assert first.status_code == 201, first.text
    assert house.stage.world.store.commits - before == 1
    assert first.json()["names"][:50] == [f"job-{number}" for number in range(50)] and first.json()["created"] == 51
    again = send(house, *bodies)
    assert again.json() == {"names": first.json()["names"][:50], "created": 0}
    assert there(house) == 51


def test_all_that_is_wrong_is_told_and_nothing_kept(house: House) -> None:
    send(house, house.body(name="taken"))
    pipeline = {"definition": {"type": "pipeline", "jobs": {}}}
    typo = house.body(comand="echo")
    large = house.body(resources={"instance_type": "local_64"})
    answer = send(house, house.body(name="good"), typo, large, pipeline, house.body(name="good"))
    assert answer.status_code == 400
    pointers = [fault["target"] for fault in answer.json()["error"]["details"]]
    assert [pointer.split("/")[2] for pointer in pointers] == ["1", "2", "3", "4"], answer.json()
    taken = send(house, house.body(), house.body(name="taken", command="another"))
    assert (taken.json()["error"]["code"], taken.json()["error"]["target"]) == ("JobNameTaken", "/jobs/1/name")
    assert there(house) == 1
