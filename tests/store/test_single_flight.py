"""Two servers that are about to do the same work: the second hears of the first's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import insert, select

from mayfly.kit.ids import WorkspaceId
from mayfly.store import reuse as reuse_rows
from mayfly.store.tables import meta
from mayfly.store.unit import Store, Unit

HERE = WorkspaceId("ws_1")


def test_the_same_work_is_asked_for_by_one_at_a_time(store: Store, database_url: str) -> None:
    other = Store(database_url, lambda _topics: None)
    asked, begun, seen = threading.Event(), threading.Event(), threading.Event()

    def first(unit: Unit) -> None:
        reuse_rows.same_work(unit, HERE, "key")
        asked.set()
        begun.wait(5)
        assert not seen.wait(0.2)
        unit.connection.execute(insert(meta).values(key="done by the first", value="v"))

    def second(unit: Unit) -> list[str]:
        reuse_rows.same_work(unit, HERE, "key")
        seen.set()
        return list(unit.connection.scalars(select(meta.c.key).where(meta.c.key.like("done%"))))

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(store.write, first)
        asked.wait(5)
        two = pool.submit(other.write, second)
        begun.set()
        one.result()
        assert two.result() == ["done by the first"]
    other.close()
