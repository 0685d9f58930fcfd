"""Order, gangs, backfill, explanations, advice, place in the queue."""

from collections.abc import Sequence

import pytest

from mayfly.domain.advice import advise, apply
from mayfly.domain.compute import Amount, Quota, ResourceRequest, Tier
from mayfly.domain.queue import JobClass, Plan
from mayfly.domain.schedule import PATIENCE_MS, place_in_queue, plan
from mayfly.kit.clock import Millis
from mayfly.testing.snapshots import family_key, machine, snapshot, waiting_class

R = ResourceRequest
ONE = R("local_1")
NOW = Millis(1_000)
LATE = Millis(PATIENCE_MS + 1_000)


def started(made: Plan) -> list[str]:
    return [start.job for start in made.starts]


def test_priority_goes_before_age() -> None:
    classes = [waiting_class(ONE, [1], priority=1), waiting_class(ONE, [2], priority=3), waiting_class(ONE, [3])]
    assert started(plan(snapshot(machine(2), classes), NOW)) == ["job-2", "job-3"]


def test_shares_are_counted_on_while_the_plan_places() -> None:
    classes = [waiting_class(ONE, [1, 2, 3, 4], "ann"), waiting_class(ONE, [5, 6], "bob")]
    assert started(plan(snapshot(machine(4), classes), NOW)) == ["job-1", "job-5", "job-2", "job-6"]


def test_who_holds_least_goes_first() -> None:
    classes = [waiting_class(ONE, [1], "ann"), waiting_class(ONE, [2], "bob")]
    made = plan(snapshot(machine(2), classes, held=Amount(1, 4096), recent={"ann": 1.0}), NOW)
    assert started(made) == ["job-2"]


def test_age_decides_among_equals_over_classes() -> None:
    classes = [waiting_class(R("local_1", 1), [4, 5]), waiting_class(R(), [3])]
    assert started(plan(snapshot(machine(3), classes), NOW))[0] == "job-3"


def test_a_gang_starts_whole_or_not_at_all() -> None:
    classes = [waiting_class(R("local_1", 3), [1])]
    waits = plan(snapshot(machine(4), classes, held=Amount(2, 8192)), NOW)
    assert waits.starts == () and waits.waits[classes[0].key].missing == "capacity"
    (start,) = plan(snapshot(machine(4), classes, held=Amount(1, 4096)), NOW).starts
    assert start.placement.node_count == 3 and start.placement.capacity.cores == 3


def test_jobs_of_one_plan_do_not_take_the_same_quota_twice() -> None:
    classes = [waiting_class(ONE, [1, 2, 3]), waiting_class(R("local_2"), [4], "bob")]
    made = plan(snapshot(machine(8), classes, {family_key("local"): Quota(4, held=1)}), NOW)
    assert started(made) == ["job-1", "job-4"] and made.waits[classes[0].key].missing == "quota"


def test_what_is_missing_is_named() -> None:
    no_quota = waiting_class(R("local_1"), [1])
    rows = {family_key("local"): Quota(2, held=2)}
    assert plan(snapshot(machine(4), [no_quota], rows), NOW).waits[no_quota.key].missing == "quota"
    no_room = waiting_class(R("local_1"), [1])
    made = plan(snapshot(machine(4), [no_room], held=machine(4).total), NOW)
    assert made.waits[no_room.key].missing == "capacity"
    assert "Waits for capacity" in made.waits[no_room.key].sentence


def _gang_and_small(queued_at: int = 0) -> list[JobClass]:
    return [waiting_class(R("local_1", 4), [1], "ann", queued_at=queued_at), waiting_class(ONE, [2], "bob")]


def test_small_jobs_fill_in_behind_a_gang_at_first() -> None:
    made = plan(snapshot(machine(4), _gang_and_small(), held=Amount(2, 8192)), NOW)
    assert started(made) == ["job-2"]


def test_after_its_patience_nobody_behind_takes_what_a_gang_needs() -> None:
    gang, small = _gang_and_small()
    made = plan(snapshot(machine(4), [gang, small], held=Amount(2, 8192)), LATE)
    assert made.starts == ()
    assert made.waits[gang.key].missing == "capacity" and made.waits[small.key].missing == "turn"


def test_a_small_job_may_still_take_what_the_gang_never_needs() -> None:
    gang, small = _gang_and_small()
    made = plan(snapshot(machine(6), [gang, small], held=Amount(1, 4096), recent={"ann": 0.0}), LATE)
    assert started(made) == ["job-1", "job-2"]
    blocked = plan(snapshot(machine(8), [waiting_class(R("local_4", 1), [1]), small], held=Amount(5, 20480)), LATE)
    assert blocked.starts == (), "5 held, 4 reserved: nothing of the 8 is spare"


def test_a_head_that_waits_for_quota_does_not_idle_the_machine() -> None:
    rows = {family_key("standardDSv2Family"): Quota(8, held=8)}
    head, small = waiting_class(R("Standard_DS3_v2"), [1], "ann"), waiting_class(ONE, [2], "bob")
    made = plan(snapshot(machine(4), [head, small], rows), LATE)
    assert started(made) == ["job-2"] and made.waits[head.key].missing == "quota"


def test_a_head_that_could_never_fit_reserves_nothing() -> None:
    head, small = waiting_class(R("local_1", 9), [1], "ann"), waiting_class(ONE, [2], "bob")
    made = plan(snapshot(machine(4), [head, small]), LATE)
    assert started(made) == ["job-2"] and "cannot start" in made.waits[head.key].sentence


def test_a_class_with_more_jobs_than_heads_waits_its_turn() -> None:
    many = waiting_class(ONE, [1, 2], waiting=1000)
    made = plan(snapshot(machine(4), [many]), NOW)
    assert started(made) == ["job-1", "job-2"] and made.waits[many.key].missing == "turn"


def test_an_unknown_size_in_the_queue_waits_and_says_why() -> None:
    lost = waiting_class(R("gone_9"), [1])
    assert "no instance type" in plan(snapshot(machine(4), [lost]), LATE).waits[lost.key].sentence


def test_the_explanation_does_not_change_while_its_reason_stays() -> None:
    one = waiting_class(R("local_1", 3), [1])
    first = plan(snapshot(machine(4), [one], held=Amount(2, 8192)), NOW).waits[one.key]
    then = plan(snapshot(machine(4), [one], held=Amount(3, 12288)), NOW).waits[one.key]
    assert first == then


# --- advice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "held", "rows", "change"),
    [
        (R("local_1", 4), 2, {}, "node_count"),
        (R("local_4"), 2, {}, "instance_type"),
        (R("Standard_DS3_v2", 1), 0, {family_key("standardDSv2Family"): Quota(8, held=8)}, "instance_type"),
        (R(node_count=1), 0, {family_key("local"): Quota(4, held=4)}, "instance_type"),
        (R("local_1"), 4, {}, "none"),
    ],
)
def test_the_smallest_change(request_: R, held: int, rows: dict, change: str) -> None:
    one = waiting_class(request_, [1])
    view = snapshot(machine(4), [one], rows, held=Amount(held, held * 4096))
    found = advise(one, view, NOW)
    assert found.change == change, found
    if change == "none":
        assert found.sentence.startswith("None, because")
    else:
        assert "job-1" in started(plan(apply(found, one, view)[1], NOW))


def test_another_tier_is_advised_when_only_that_helps() -> None:
    rows = {family_key("*"): Quota(4, held=4)}
    one = waiting_class(R(), [1])
    found = advise(one, snapshot(machine(4), [one], rows), NOW)
    assert found.change == "job_tier" and found.set == {"queue_settings.job_tier": "Spot"}


def test_a_quota_raise_is_advised_last_with_its_command() -> None:
    rows = {family_key("*"): Quota(4, held=4), family_key("*", Tier.SPOT): Quota(0)}
    one = waiting_class(R(), [1])
    found = advise(one, snapshot(machine(4), [one], rows), NOW)
    assert found.change == "quota" and found.quota == (family_key("*"), 5)
    assert "mayfly quota update --family '*' --limit 5" in found.sentence


def test_a_job_that_starts_anyway_needs_no_change() -> None:
    one = waiting_class(R(), [1])
    assert "starts now" in advise(one, snapshot(machine(4), [one]), NOW).sentence


def test_who_only_waits_for_his_turn_is_told_so() -> None:
    gang, small = _gang_and_small()
    found = advise(small, snapshot(machine(4), [gang, small], held=Amount(2, 8192)), LATE)
    assert found.change == "none" and "because" in found.sentence


# --- place in the queue -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sequences", "priority", "place"),
    [([9], 3, 1), ([2], 2, 2), ([9], 2, 5), ([1], 1, 6)],
)
def test_place_in_queue(sequences: Sequence[int], priority: int, place: int) -> None:
    others = [waiting_class(ONE, [1], priority=2), waiting_class(ONE, [3, 4, 5], "bob", priority=2)]
    high = [waiting_class(ONE, [8], priority=3)] if priority == 1 else []
    mine = waiting_class(R(), sequences, priority=priority)
    assert place_in_queue(snapshot(machine(4), [*others, *high, mine]), mine.key) == place


def test_place_of_a_later_job_of_the_class() -> None:
    mine = waiting_class(R(), [3, 6, 9])
    assert place_in_queue(snapshot(machine(4), [mine]), mine.key, 9) == 3
