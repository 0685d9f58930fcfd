"""Two servers of two homes have one PostgreSQL: what one was asked for the other does, shows and goes on with."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from mayfly.store import ledgers
from mayfly.store.unit import Store
from mayfly.testing.chance import chance
from mayfly.testing.databases import Databases, kinds
from mayfly.testing.deaths import FOR_TWO
from mayfly.testing.embedded import HELLO, WORKSPACE, Embedded, counting, numbered
from mayfly.testing.lives import LIVES
from mayfly.testing.nodes import kill
from mayfly.testing.pairs import Pair
from mayfly.testing.storms import Witness
from mayfly.testing.trials import lived

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.fault,
    pytest.mark.timeout(300),
    pytest.mark.skipif("postgresql" not in kinds(), reason="There is no PostgreSQL here."),
]


@pytest.fixture(scope="module")
def pair(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """For all tests here, which leave both servers alive."""
    place = tmp_path_factory.mktemp("pair")
    url = databases.empty("postgresql", place)
    both = Pair(place / "home", url)
    both.start()
    yield both
    both.finish()
    databases.drop(url)


def own(one: Embedded) -> str:
    """Where this one of the pair is found."""
    return one.own_record["url"]


def test_either_may_die_while_jobs_run_and_the_other_goes_on_with_them(pair: Pair) -> None:
    other = pair.other
    assert other.call("GET", "/mayfly/v1/server")["others"] == [own(pair)]
    pair.post({**counting(40), "name": "lives"})
    follower = other.begin("job", "stream", "-n", "lives")
    other.wait_log("lives", "line 3\n")
    kill(pair.own_record["pid"])
    died = time.monotonic()
    other.post({**HELLO, "name": "second"})
    assert other.wait("second")["status"] == "Completed"
    assert time.monotonic() - died < 20, "nobody waits for the leases of the dead"
    job = other.wait("lives")
    assert (job["status"], job["attempt"], job["exit_codes"]) == ("Completed", 1, [0]), job
    assert other.log("lives") == numbered(40)
    shown, said = follower.communicate(timeout=60)
    assert numbered(40) in shown, (shown, said)

    Embedded.start(pair)
    pair.post({**counting(6000), "name": "stops"})
    other.wait_log("stops", "line 1\n")
    for one in (pair, other):
        one.call("POST", "/jobs/stops/cancel", {})
    assert pair.wait("stops")["status"] == "Canceled"
    assert not pair.problems(), "each job has one history, with one end"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="One core can never be two jobs'.")
def test_quota_holds_under_thirty_two_clients_of_two_servers(pair: Pair) -> None:
    pair.call("PUT", "/quotas", {"family": "local", "limit": 1})
    store, over, most = Store(pair.database, lambda _topics: None), threading.Event(), Counter[str]()

    def watch() -> None:
        while not over.wait(0.02):
            for key, quota in store.read(ledgers.quotas).items():
                most[key.family] = max(most[key.family], quota.held)

    with Witness() as witness:
        works = f"exec bash -c 'echo 0 begin > /dev/tcp/127.0.0.1/{witness.port}; sleep 0.1; echo 0 end > /dev/tcp/127.0.0.1/{witness.port}'"
        shapes: list[dict[str, Any]] = [
            {"instance_type": "local_1"},
            {"instance_type": "local_1", "instance_count": 2},
            {"instance_type": "local_1"},
            {"instance_type": "local_2"},
        ]

        def ask(number: int) -> tuple[int, str]:
            record = (pair.own_record, pair.other.own_record)[number // 4 % 2]
            token = (pair.folder / "token").read_text().strip()
            asked = {**HELLO, "name": f"quota-{number}", "command": works, "resources": shapes[number % 4]}
            url, headers = f"{record['url']}{WORKSPACE}/jobs", {"Authorization": f"Bearer {token}"}
            with httpx.Client(timeout=120, trust_env=False) as client:
                answer = client.post(url, json={"definition": asked}, headers=headers)
            return number % 4, answer.json()["error"]["code"] if answer.status_code >= 300 else "accepted"

        watcher = threading.Thread(target=watch)
        watcher.start()
        with ThreadPoolExecutor(32) as clients:
            said = Counter(clients.map(ask, range(32)))
        assert said == {
            (0, "accepted"): 8,
            (1, "JobNodeCountExceedsCoreQuota"): 8,
            (2, "accepted"): 8,
            (3, "NoQuotaForInstanceType"): 8,
        }
        for number in range(0, 32, 2):
            job = pair.wait(f"quota-{number}", "Completed")
            assert job["attempt"] == 1
        over.set()
        watcher.join()
        witness.shutdown()
    store.close()
    assert witness.order == ["begin", "end"] * 16, "never two at once, and none twice"
    assert most["local"] == 1
    assert not pair.problems()


def test_a_life_goes_on_when_one_of_two_servers_dies(databases: Databases, tmp_path: Any) -> None:
    life = chance("two servers").choice(sorted(FOR_TWO))
    url = databases.empty("postgresql", tmp_path)
    steps = (
        "job accepted",
        "attempt reserved",
        "node created",
        "start granted",
        "rank exited",
        "job ended",
        "node gone",
    )
    point = chance(life).choice([f"server:{step}:{side}" for step in steps for side in ("before", "after")])
    print(f"{life}, one dies at {point}")
    lived(Pair(tmp_path / "home", url), LIVES[life], point)
    databases.drop(url)
