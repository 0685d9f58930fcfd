"""The queue by class: counts and heads, for a price that does not grow with the queue."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import event

from mayfly.domain.catalogue import CATALOGUE
from mayfly.domain.compute import ResourceRequest
from mayfly.domain.job import Job, JobState
from mayfly.domain.queue import ClassKey, Explanation, Snapshot
from mayfly.kit.clock import Millis
from mayfly.kit.ids import JobId, RunId, WorkspaceId
from mayfly.store import codec, dialect, jobs, reuse, waiting, workspaces
from mayfly.store.jobs import JobRow
from mayfly.store.unit import Store
from mayfly.store.workspaces import Workspace
from mayfly.testing.snapshots import machine

FLEET = machine(cores=4)
KEEP = WorkspaceId("ws_1")


def key(request: ResourceRequest, submitter: str = "ann", priority: int = 2) -> ClassKey:
    return ClassKey(KEEP, "local", submitter, priority, codec.request_json(request))


def row(number: int, class_key: ClassKey, state: JobState = JobState.QUEUED) -> JobRow:
    life = Job(JobId(f"job_{number:06d}"), 1, Millis(number), Millis(number), state=state)
    return JobRow(
        sequence=0,
        workspace=KEEP,
        subscription="local",
        name=f"job-{number}",
        type="command",
        display_name=f"job-{number}",
        description=None,
        experiment="Default",
        tags={},
        properties={},
        submitter=class_key.submitter,
        definition_digest="0" * 64,
        body="{}",
        spec="{}",
        work="{}",
        notes=[],
        request=class_key.request,
        class_key=codec.class_text(class_key),
        priority=class_key.priority,
        environment="",
        run=RunId(f"{number:032x}"),
        explanation=None,
        job=life,
    )


def fill(store: Store, rows: list[JobRow]) -> None:
    def work(unit) -> None:
        workspaces.create(unit, Workspace(KEEP, "local", "local", "default"), Millis(0))
        for one in rows:
            jobs.add(unit, one)

    store.write(work)


def look(store: Store) -> Snapshot:
    return store.read(lambda connection: waiting.snapshot(connection, FLEET, dict(CATALOGUE)))


@contextmanager
def counting(store: Store) -> Iterator[Callable[[], int]]:
    statements: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        statements.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    yield lambda: len(statements)
    event.remove(store.engine, "before_cursor_execute", note)


ONE, TWO = ResourceRequest(), ResourceRequest("local_2", 2)


def test_classes_have_counts_and_their_oldest_jobs(store: Store) -> None:
    kinds = [key(ONE), key(TWO), key(ONE, "bob"), key(ONE, priority=3)]
    fill(store, [row(number, kinds[number % 4]) for number in range(1, 41)])
    found = {one.key: one for one in look(store).classes}
    assert set(found) == set(kinds)
    for number, kind in enumerate(kinds):
        one = found[kind]
        mine = [n for n in range(1, 41) if n % 4 == number]
        assert one.waiting == 10
        assert [head.job for head in one.heads] == [f"job_{n:06d}" for n in mine]
        assert [head.queued_at for head in one.heads] == mine
        assert [head.sequence for head in one.heads] == sorted(head.sequence for head in one.heads)
    assert found[key(TWO)].request == TWO


def test_a_long_class_shows_only_its_heads(store: Store) -> None:
    fill(store, [row(number, key(ONE)) for number in range(1, 101)])
    (one,) = look(store).classes
    assert one.waiting == 100 and len(one.heads) == waiting.HEADS
    assert one.heads[0].job == "job_000001"


def test_a_look_that_counts_nothing_sees_the_same_classes(store: Store) -> None:
    kinds = [key(ONE), key(TWO), key(ONE, "bob")]
    fill(store, [row(number, kinds[0] if number > 8 else kinds[number % 3]) for number in range(1, 101)])
    counted = {one.key: one for one in look(store).classes}
    found = store.read(lambda c: waiting.snapshot(c, FLEET, dict(CATALOGUE), counted=False)).classes
    assert {one.key: one.heads for one in found} == {kind: one.heads for kind, one in counted.items()}
    assert {one.key: one.waiting for one in found} == {kinds[0]: waiting.HEADS + 1, kinds[1]: 3, kinds[2]: 3}


def test_only_waiting_jobs_are_in_the_queue(store: Store) -> None:
    ended = replace(row(1, key(ONE)), job=replace(row(1, key(ONE)).job, state=JobState.COMPLETED))
    fill(store, [ended, row(2, key(ONE))])
    (one,) = look(store).classes
    assert one.waiting == 1 and one.heads[0].job == "job_000002"


def test_a_look_costs_the_same_however_many_wait(store: Store) -> None:
    fill(store, [row(number, key(ONE)) for number in range(1, 4)])
    with counting(store) as count:
        look(store)
        few = count()
        fill(store, [row(number, key(ONE)) for number in range(4, 300)])
        before = count()
        look(store)
        many = count() - before
    assert many == few <= 12


def test_a_wait_is_kept_and_forgotten(store: Store) -> None:
    why = Explanation("Waits for quota: …", "quota")
    store.write(lambda unit: waiting.keep_wait(unit, key(ONE), why, Millis(5)))
    store.write(lambda unit: waiting.keep_wait(unit, key(ONE), replace(why, missing="capacity"), Millis(6)))
    assert store.read(waiting.waits) == {key(ONE): (replace(why, missing="capacity"), 6)}
    assert store.read(lambda c: waiting.wait_of(c, codec.class_text(key(TWO)))) is None
    store.write(lambda unit: waiting.forget_wait(unit, key(ONE)))
    assert store.read(waiting.waits) == {}


def test_pages_of_jobs_neither_repeat_nor_miss(store: Store) -> None:
    fill(store, [row(number, key(ONE)) for number in range(1, 26)])
    seen: list[str] = []
    before = None
    while page := store.read(lambda c, before=before: jobs.page(c, KEEP, 10, before, None)):
        seen += [one.name for one in page]
        before = page[-1].sequence
    assert seen == [f"job-{number}" for number in range(25, 0, -1)]
    assert store.read(lambda c: jobs.page(c, KEEP, 10, None, ["Completed"])) == []
    assert store.read(lambda c: jobs.counts(c)) == {"Queued": 25}


def test_rare_ones_are_found_by_an_index_however_many_others_there_are(store: Store) -> None:
    if not dialect.is_sqlite(store.engine):
        pytest.skip("SQLite says beforehand how it will look")
    asked: list[tuple[str, object]] = []
    note = lambda *found: asked.append((found[2], found[3]))  # noqa: E731
    event.listen(store.engine, "before_cursor_execute", note)
    store.read(lambda c: jobs.page(c, KEEP, 10, None, ["Failed", "Canceled"]))
    store.read(lambda c: waiting.not_in_phase(c, key(ResourceRequest()), "quota"))
    store.read(lambda c: reuse.original(c, KEEP, "what it does"))
    event.remove(store.engine, "before_cursor_execute", note)
    plans = []
    with store.engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        for statement, values in asked:
            if "FROM jobs" in statement:
                plans += [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    looks = [plan for plan in plans if "jobs" in plan]
    found = [next(iter(re.findall(r"ix_jobs_\w+", plan)), plan) for plan in looks]
    assert set(found) == {"ix_jobs_state", "ix_jobs_waiting", "ix_jobs_reuse"} and found[-1] == "ix_jobs_reuse"
