"""Two ledgers that nobody overdraws, whoever takes and gives back at once, and that add up after any history."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from mayfly.domain.catalogue import own_sizes
from mayfly.domain.compute import Amount, LedgerKey, Placement, Tier
from mayfly.kit.ids import JobId
from mayfly.store import ledgers
from mayfly.store.ledgers import Take
from mayfly.store.unit import Store
from mayfly.testing.databases import Databases

SIZE = own_sizes(4, 16384, 100.0, 0)[0]
FAMILY = LedgerKey("subscription:local", "local", Tier.STANDARD)
TOTAL = LedgerKey("subscription:local", "*", Tier.STANDARD)
WORKSPACE = LedgerKey("workspace:ws", "local", Tier.STANDARD)
GPUS = ("GPU-a", "GPU-b")
NOTHING = Amount()


def placement(cores: int, memory: int = 100, gpus: Sequence[str] = (), quota: int | None = None) -> Placement:
    vcpus = cores if quota is None else quota
    amount = Amount(cores, memory, frozenset(gpus))
    keys = dict.fromkeys((FAMILY, TOTAL, WORKSPACE), vcpus)
    return Placement(SIZE, 1, Tier.STANDARD, False, keys, amount, amount)


def prepare(store: Store, quota: int = 8, cores: int = 8, memory: int = 8000) -> None:
    def work(unit) -> None:
        ledgers.set_capacity(unit, "local", Amount(cores, memory, frozenset(GPUS)))
        ledgers.ensure(unit, {FAMILY: quota, TOTAL: 100, WORKSPACE: None})

    store.write(work)


def take(store: Store, job: str, wanted: Placement) -> bool:
    try:
        store.write(lambda unit: ledgers.take(unit, "local", [Take(JobId(job), 1, wanted)]))
    except ledgers.Overdrawn:
        return False
    return True


def give(store: Store, job: str) -> bool:
    return store.write(lambda unit: ledgers.give_back(unit, JobId(job), 1))


def held(store: Store) -> tuple[int, int, Amount]:
    """Of the family, of the workspace (which has no limit), and of the machine."""

    def look(connection):
        rows = {key: quota.held for key, quota in ledgers.quotas(connection).items()}
        in_workspace = connection.exec_driver_sql("select held from ledgers where scope = 'workspace:ws'").scalar()
        return rows[FAMILY], in_workspace, ledgers.capacity_held(connection, "local")

    return store.read(look)


def test_taking_and_giving_back_is_nothing(store: Store) -> None:
    prepare(store)
    assert take(store, "a", placement(3, 100, ["GPU-a"]))
    assert held(store) == (3, 3, Amount(3, 100, frozenset({"GPU-a"})))
    assert give(store, "a")
    assert not give(store, "a")
    assert held(store) == (0, 0, NOTHING)
    assert store.read(ledgers.check) == []


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(placement(5, quota=6), id="quota"),
        pytest.param(placement(6, quota=1), id="cores"),
        pytest.param(placement(1, memory=7950), id="memory"),
        pytest.param(placement(1, gpus=["GPU-a"]), id="gpu"),
        pytest.param(placement(1, gpus=["GPU-unknown"]), id="unknown gpu"),
    ],
)
def test_too_much_of_anything_takes_nothing(store: Store, second: Placement) -> None:
    prepare(store)
    assert take(store, "a", placement(3, 100, ["GPU-a"]))
    before = held(store)
    assert not take(store, "b", second)
    assert held(store) == before
    assert store.read(ledgers.check) == []
    give(store, "a")
    assert take(store, "b", second) == ("GPU-unknown" not in second.capacity.gpus)


def test_a_limit_lowered_below_what_is_held_lets_nothing_new_in(store: Store) -> None:
    prepare(store)
    assert take(store, "a", placement(4))
    store.write(lambda unit: ledgers.set_limit(unit, FAMILY, 2))
    assert not take(store, "b", placement(1))
    give(store, "a")
    assert take(store, "b", placement(1))
    assert FAMILY in store.read(ledgers.set_by_user)


def test_a_default_moves_with_the_machine_unless_a_person_set_it(store: Store) -> None:
    prepare(store)
    store.write(lambda unit: ledgers.refresh_default(unit, FAMILY, 16))
    assert store.read(ledgers.quotas)[FAMILY].limit == 16
    store.write(lambda unit: ledgers.set_limit(unit, FAMILY, 3))
    store.write(lambda unit: ledgers.refresh_default(unit, FAMILY, 16))
    assert store.read(ledgers.quotas)[FAMILY].limit == 3


def test_gpus_that_left_the_machine_are_forgotten_when_free(store: Store) -> None:
    prepare(store)
    assert take(store, "a", placement(1, gpus=["GPU-a"]))
    store.write(lambda unit: ledgers.set_capacity(unit, "local", Amount(8, 8000, frozenset())))
    assert held(store)[2].gpus == {"GPU-a"}
    give(store, "a")
    store.write(lambda unit: ledgers.set_capacity(unit, "local", Amount(8, 8000, frozenset())))
    assert not take(store, "b", placement(1, gpus=["GPU-a"]))


def test_thirty_two_threads_never_overdraw(store: Store) -> None:
    """Each takes and gives back at random; no look in between shows more held than there is, and at the end nothing is."""
    prepare(store, quota=6, cores=8, memory=800)

    def worker(number: int) -> int:
        chance, got = random.Random(number), 0
        for round_ in range(6):
            job = f"job-{number}-{round_}"
            gpus = chance.sample(GPUS, chance.choice((0, 0, 1)))
            if take(store, job, placement(chance.randint(1, 4), chance.randint(0, 300), gpus)):
                got += 1
                family, _, real = held(store)
                assert 0 < family <= 6 and real.cores <= 8 and real.memory_mib <= 800
                give(store, job)
                give(store, job)
        return got

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(worker, range(32))) > 0
    assert store.read(ledgers.check) == []
    assert held(store) == (0, 0, NOTHING)


def test_two_servers_take_one_core_once(database_url: str) -> None:
    first, second = (Store(database_url, lambda topics: None) for _ in range(2))
    prepare(first, quota=1)
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: take((first, second)[n % 2], f"job-{n}", placement(1)), range(16)))
    assert sum(won) == 1
    assert first.read(ledgers.check) == []
    for store in (first, second):
        store.close()


def test_giving_back_at_once_gives_back_once(store: Store) -> None:
    prepare(store)
    assert take(store, "keeper", placement(2))
    for number in range(5):
        assert take(store, "a", placement(3))
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(lambda _: give(store, "a"), range(8))) >= 1, number
        assert held(store)[0] == 2
    assert store.read(ledgers.check) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=some.lists(
        some.tuples(
            some.sampled_from("abcde"),
            some.booleans(),
            some.integers(0, 9),
            some.integers(0, 9000),
            some.sets(some.sampled_from(GPUS)),
        ),
        max_size=20,
    )
)
def test_any_history_is_the_sum_of_who_holds(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, moves: list
) -> None:
    """Against a model of plain numbers: taken exactly when it fits, and what is held is the sum over the holders."""
    folder: Path = tmp_path_factory.mktemp("history")
    store = Store(databases.fresh("sqlite", folder), lambda topics: None)
    prepare(store)
    model: dict[str, Amount] = {}
    for job, is_take, cores, memory, gpus in moves:
        before = NOTHING
        for amount in model.values():
            before = before.plus(amount)
        if is_take and job not in model:
            wanted = Amount(cores, memory, frozenset(gpus))
            fits = before.cores + cores <= 8 and before.memory_mib + memory <= 8000 and not before.gpus & gpus
            assert take(store, job, placement(cores, memory, sorted(gpus))) == fits
            if fits:
                model[job] = wanted
        elif not is_take:
            assert give(store, job) == (model.pop(job, None) is not None)
        total = NOTHING
        for amount in model.values():
            total = total.plus(amount)
        assert held(store) == (total.cores, total.cores, total)
    assert store.read(ledgers.check) == []
    store.close()
