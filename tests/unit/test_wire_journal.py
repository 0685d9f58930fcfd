"""What the node takes into its journal, and how few requests tell MLflow the same."""

from __future__ import annotations

from typing import Any

import pytest

from mayfly.wire.journal import Entry, RunState, apply, orders, read

RUN = "a" * 32
METRIC = {"run_id": RUN, "key": "loss", "value": 0.5, "timestamp": 7, "step": 2}


def test_a_plain_write_is_taken():
    assert read("runs/log-metric", METRIC, RunState()) == Entry(RUN, metrics=(("loss", 0.5, 7, 2),))
    nan = {**METRIC, "value": "NaN", "step": "3", "timestamp": "8"}
    assert read("runs/log-metric", nan, RunState()) == Entry(RUN, metrics=(("loss", "NaN", 8, 3),))
    tag = {"run_id": RUN, "key": "mlflow.note.content", "value": "ä"}
    assert read("runs/set-tag", tag, RunState()) == Entry(RUN, tags={"mlflow.note.content": "ä"})


@pytest.mark.parametrize(
    "changes",
    [
        {"value": None},
        {"value": True},
        {"value": "0.5"},
        {"key": "a/../b"},
        {"key": "/a"},
        {"key": "a//b"},
        {"key": "a?"},
        {"key": "k" * 251},
        {"key": ""},
        {"key": "a\n"},
        {"timestamp": -1},
        {"timestamp": None},
        {"timestamp": 1.5},
        {"step": "x"},
        {"step": 1 << 60},
        {"model_id": "m-1"},
        {"run_uuid": "b" * 32},
    ],
)
def test_a_doubtful_metric_is_left_to_mlflow(changes: dict[str, Any]):
    assert read("runs/log-metric", {**METRIC, **changes}, RunState()) is None


def test_a_param_is_taken_while_all_params_are_known():
    state = RunState({})
    first = {"run_id": RUN, "key": "lr", "value": "1"}
    entry = read("runs/log-parameter", first, state)
    assert entry is not None
    apply(entry, state)
    assert read("runs/log-parameter", first, state) is not None
    assert read("runs/log-parameter", {**first, "value": "2"}, state) is None
    assert read("runs/log-parameter", {**first, "key": "other"}, RunState(None)) is None
    assert read("runs/log-parameter", {**first, "value": "x" * 501}, state) is None


def test_an_update_is_answered_only_for_a_run_that_was_seen():
    update = {"run_id": RUN, "status": "FINISHED", "end_time": 9}
    assert read("runs/update", update, RunState()) is None
    assert read("runs/update", update, RunState(info={})) == Entry(RUN, update={"status": "FINISHED", "end_time": 9})
    assert read("runs/update", {**update, "status": "DONE"}, RunState(info={})) is None
    assert read("runs/log-inputs", {"run_id": RUN}, RunState(info={})) is None


def test_more_than_mlflow_takes_is_left_to_it():
    many = {"run_id": RUN, "metrics": [{**METRIC, "step": i} for i in range(1001)]}
    assert read("runs/log-batch", many, RunState()) is None
    params = {"run_id": RUN, "params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}
    assert read("runs/log-batch", params, RunState({})) is None


def test_neighbours_are_told_together_and_in_order():
    points = [Entry(RUN, metrics=(("loss", float(i), i, i),)) for i in range(2500)]
    labels = [Entry(RUN, tags={f"t{i}": str(i)}) for i in range(150)]
    end = Entry(RUN, update={"status": "FINISHED"})
    late = Entry(RUN, tags={"t0": "again"})
    told = list(orders([*points, *labels, end, late]))
    assert [point for order in told for point in order.metrics] == [one.metrics[0] for one in points]
    assert max(len(order.metrics) + len(order.params) + len(order.tags) for order in told) <= 1000
    assert max(len(order.tags) for order in told) <= 100
    assert [bool(order.update) for order in told].index(True) == len(told) - 2
    assert told[-1].tags == {"t0": "again"}
    assert len(told) <= 6


def test_halves_say_the_same():
    (order,) = orders([Entry(RUN, metrics=(("a", 1.0, 1, 1),), params={"p": "1"}, tags={"t": "2"})])
    left, right = order.halves()
    assert left.size + right.size == order.size == 3
    assert {**left.params, **right.params} == {"p": "1"}
