"""The shape of a metric in few points."""

from __future__ import annotations

import math

import pytest

from mayfly.store.curves import curve_of
from mayfly.store.results import MetricRow, add_metrics
from mayfly.store.unit import Store


def keep(store: Store, *rows: MetricRow) -> None:
    others = [MetricRow("other", 1.0, step, 5) for step in range(3)]
    store.write(lambda unit: add_metrics(unit, "job_1", 1, [*rows, *others]))


def test_few_points_come_whole_and_by_step(store: Store):
    keep(store, MetricRow("k", math.nan, 7, 2), MetricRow("k", 3.0, 1, 9), MetricRow("k", 2.0, 7, 3))
    assert [(row.step, row.timestamp) for row in store.read(lambda c: curve_of(c, "job_1", "k", 3))] == [
        (1, 9),
        (7, 2),
        (7, 3),
    ]
    assert [row.step for row in store.read(lambda c: curve_of(c, "job_1", "k", 3, (0, 3)))] == [1]
    assert store.read(lambda c: curve_of(c, "job_1", "none", 3)) == []
    assert [row.timestamp for row in store.read(lambda c: curve_of(c, "job_1", "k", 1))] == [3]


@pytest.mark.parametrize("by_time", [False, True])
def test_of_many_points_as_many_as_asked_at_even_distances(store: Store, by_time: bool):
    far = 1 << 50
    keep(store, *(MetricRow("k", float(i), 0 if by_time else far + i, far + i) for i in range(5001)))
    found = [row.value for row in store.read(lambda c: curve_of(c, "job_1", "k", 11))]
    assert found == [0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000]
    if not by_time:
        part = store.read(lambda c: curve_of(c, "job_1", "k", 5, (far + 100, far + 200)))
        assert [row.value for row in part] == [100, 125, 150, 175, 200]


def test_far_apart_points_are_told_once(store: Store):
    keep(store, *(MetricRow("k", float(i), step, i) for i, step in enumerate((0, 1, 2, 1 << 53))))
    assert [row.step for row in store.read(lambda c: curve_of(c, "job_1", "k", 3))] == [0, 1 << 53]
