from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from mayfly.kit.clock import Millis
from mayfly.store import leases
from mayfly.store.unit import Store

LENGTH = Millis(1000)


def claim(store: Store, holder: str, now: int) -> bool:
    return store.write(lambda unit: leases.claim(unit, "duty", holder, LENGTH, Millis(now)))


def test_one_holder_at_a_time(store: Store) -> None:
    assert claim(store, "a", 0)
    assert not claim(store, "b", 500)
    assert claim(store, "a", 900)
    assert not claim(store, "b", 1500), "renewed until 1900"
    assert claim(store, "b", 1901)
    assert not claim(store, "a", 1902)
    assert store.write(lambda unit: leases.holder_of(unit, "duty")) == "b"


def test_two_servers_in_a_race_have_one_winner(database_url: str) -> None:
    stores = [Store(database_url, lambda topics: None) for _ in range(4)]
    for round_ in range(5):
        with ThreadPoolExecutor(8) as pool:
            now = round_ * 10_000
            won = list(pool.map(lambda n, now=now: claim(stores[n % 4], f"holder-{n}", now), range(8)))
        assert sum(won) == 1
    for store in stores:
        store.close()


def test_duties_do_not_share_a_lease(store: Store) -> None:
    assert claim(store, "a", 0)
    assert store.write(lambda unit: leases.claim(unit, "other", "b", LENGTH, Millis(0)))
    assert store.write(lambda unit: leases.holder_of(unit, "unheard of")) is None


def test_only_what_is_still_held_is_renewed(store: Store) -> None:
    for name in ("one", "two"):
        assert store.write(lambda unit, name=name: leases.claim(unit, name, "a", LENGTH))
    assert claim(store, "b", 0)
    assert store.write(lambda unit: leases.renew(unit, ["one", "duty", "gone"], "a", LENGTH)) == {"one"}


def test_without_a_moment_the_database_says_what_time_it_is(store: Store) -> None:
    before = Millis(time.time_ns() // 1_000_000 - 2000)
    assert store.write(lambda unit: leases.claim(unit, "duty", "a", LENGTH))
    assert not claim(store, "b", before), "it runs by the clock of the database, which is this machine's"
    assert claim(store, "b", before + 60_000)
