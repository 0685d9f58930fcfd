"""Laws of quota, placement and order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mayfly.domain.advice import advise, apply
from mayfly.domain.catalogue import find
from mayfly.domain.compute import Amount, LedgerKey, Placement, Quota, ResourceRequest, Target, Tier
from mayfly.domain.outcome import outcome
from mayfly.domain.placement import place, rank_amounts
from mayfly.domain.queue import Head, JobClass, Snapshot
from mayfly.domain.quota import add, quota_of, remove
from mayfly.domain.schedule import PATIENCE_MS, plan
from mayfly.kit.clock import Millis
from mayfly.kit.errors import Invalid, Refused
from mayfly.testing.snapshots import OWNER, family_key, machine, snapshot, waiting_class

SLOW_MACHINE = [HealthCheck.too_slow]
LAWS = settings(max_examples=60, deadline=None, suppress_health_check=SLOW_MACHINE)
SIZES = (None, None, "local_1", "local_2", "Standard_DS3_v2", "Standard_D2s_v3", "Standard_NC24")
FEW = {size.name.lower(): size for size in (find(name) for name in SIZES if name and name.startswith("Standard"))}
REQUESTS = st.builds(
    ResourceRequest,
    instance_type=st.sampled_from(SIZES),
    node_count=st.integers(1, 5),
    tier=st.sampled_from([Tier.STANDARD, Tier.STANDARD, Tier.SPOT]),
    target=st.sampled_from([Target.SERVERLESS, Target.SERVERLESS, Target.LOCAL]),
    disk_gib=st.sampled_from([None, None, 5.0, 60.0]),
)
KEYS = [family_key(f) for f in ("local", "standardDSv2Family", "standardNCFamily", "*")]
KEYS += [family_key("*", Tier.SPOT), LedgerKey("workspace:ws", "local", Tier.STANDARD)]


@st.composite
def quotas(draw: st.DrawFn) -> dict[LedgerKey, Quota]:
    rows = {}
    for key in KEYS:
        if draw(st.booleans()):
            limit = draw(st.sampled_from([0, 2, 4, 8, 96]))
            rows[key] = Quota(limit, draw(st.integers(0, limit)))
    return rows


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    cores = draw(st.integers(1, 8))
    fleet = machine(cores, disk_gib=100.0, emulates=draw(st.booleans()))
    busy = draw(st.integers(0, cores))
    classes, sequence = [], 0
    for number in range(draw(st.integers(0, 5))):
        count = draw(st.integers(1, 4))
        one = waiting_class(
            draw(REQUESTS),
            [sequence + n for n in range(count)],
            submitter=draw(st.sampled_from(["ann", "bob"])),
            priority=draw(st.integers(1, 3)),
            queued_at=draw(st.sampled_from([0, PATIENCE_MS])),
            waiting=count + draw(st.sampled_from([0, 10])),
        )
        classes.append(replace(one, key=replace(one.key, request=f"{one.key.request} {number}")))
        sequence += count
    return snapshot(
        fleet,
        classes,
        draw(quotas()),
        Amount(busy, busy * 4096),
        recent={"ann": draw(st.sampled_from([0.0, 3.0]))},
        catalogue=FEW,
    )


NOW = st.sampled_from([Millis(PATIENCE_MS - 1), Millis(PATIENCE_MS + 1), Millis(2 * PATIENCE_MS)])


@LAWS
@given(quotas(), st.dictionaries(st.sampled_from(KEYS), st.integers(0, 20)))
def test_a_ledger_never_passes_its_limit_and_add_is_undone_by_remove(
    rows: dict[LedgerKey, Quota], more: dict[LedgerKey, int]
) -> None:
    after = add(rows, more)
    if after is None:
        assert any(rows[key].held + more[key] > rows[key].limit for key in more if key in rows)
        return
    assert all(quota.held <= quota.limit for quota in after.values())
    assert remove(after, more) == rows


@LAWS
@given(snapshots(), NOW)
def test_a_plan_never_oversubscribes(view: Snapshot, now: Millis) -> None:
    held, rows = view.capacity_held, {key: quota.held for key, quota in view.quotas.items()}
    for start in plan(view, now).starts:
        need = start.placement.capacity
        assert not need.gpus & held.gpus
        held = held.plus(need)
        for key, vcpus in start.placement.quota.items():
            rows[key] = rows.get(key, 0) + vcpus
            kept = quota_of(key, view.quotas, view.fleet)
            assert kept is None or rows[key] <= kept.limit
        assert held.fits(view.fleet.total)


@LAWS
@given(snapshots(), NOW)
def test_gangs_are_whole(view: Snapshot, now: Millis) -> None:
    requests = {head.job: one.request for one in view.classes for head in one.heads}
    for start in plan(view, now).starts:
        placement, request = start.placement, requests[start.job]
        assert placement.node_count == request.node_count and placement.tier is request.tier
        assert set(placement.quota.values()) <= {placement.instance_type.vcpus * request.node_count}
        assert bool(placement.quota) is (request.target is Target.SERVERLESS)
        if placement.emulated:
            assert placement.capacity == view.fleet.total and request.instance_type is not None
        else:
            shares = rank_amounts(placement)
            assert sum(share.cores for share in shares) == placement.capacity.cores
            assert sum(share.memory_mib for share in shares) == placement.capacity.memory_mib


@LAWS
@given(snapshots(), NOW, st.randoms(use_true_random=False))
def test_a_plan_depends_on_the_snapshot_alone_not_on_the_order_of_its_classes(
    view: Snapshot, now: Millis, shuffle
) -> None:
    classes = list(view.classes)
    shuffle.shuffle(classes)
    first, second = plan(view, now), plan(replace(view, classes=tuple(classes)), now)
    assert first.starts == second.starts and dict(first.waits) == dict(second.waits)


@LAWS
@given(snapshots(), NOW)
def test_every_class_starts_or_says_why_not(view: Snapshot, now: Millis) -> None:
    made = plan(view, now)
    started = {start.job for start in made.starts}
    assert len(started) == len(made.starts)
    for one in view.classes:
        left = one.waiting - sum(head.job in started for head in one.heads)
        assert (one.key in made.waits) is (left > 0)
        taken = [head.job in started for head in one.heads]
        assert taken == sorted(taken, reverse=True), "the oldest of a class first"
    assert all(why.missing in ("quota", "capacity", "turn") and why.sentence for why in made.waits.values())


@LAWS
@given(snapshots())
def test_with_patience_left_nothing_waits_while_quota_and_capacity_are_left(view: Snapshot) -> None:
    now = Millis(PATIENCE_MS - 1)
    made = plan(view, now)
    held, rows = view.capacity_held, dict(view.quotas)
    for start in made.starts:
        held = held.plus(start.placement.capacity)
        for key, vcpus in start.placement.quota.items():
            if (kept := quota_of(key, rows, view.fleet)) is not None:
                rows[key] = Quota(kept.limit, kept.held + vcpus)
    started = {start.job for start in made.starts}
    for one in view.classes:
        if all(head.job in started for head in one.heads):
            continue
        assert not isinstance(place(one.request, OWNER, replace(view, capacity_held=held, quotas=rows)), Placement)


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW_MACHINE)
@given(snapshots(), NOW)
def test_advice_taken_starts_the_job(view: Snapshot, now: Millis) -> None:
    for one in view.classes:
        found = advise(one, view, now)
        after = plan(apply(found, one, view)[1], now)
        starts = one.heads[0].job in {start.job for start in after.starts}
        assert starts or (found.change == "none" and "None, because" in found.sentence)


@LAWS
@given(REQUESTS, snapshots())
def test_what_is_accepted_can_start_on_an_idle_fleet_and_what_is_refused_never(
    request: ResourceRequest, view: Snapshot
) -> None:
    idle = replace(view, capacity_held=Amount(), quotas={key: Quota(quota.limit) for key, quota in view.quotas.items()})
    found = place(request, OWNER, idle)
    try:
        outcome(request, OWNER, view)
    except (Refused, Invalid) as error:
        assert not isinstance(found, Placement) and error.remedy
    else:
        assert isinstance(found, Placement)


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW_MACHINE)
@given(
    st.integers(2, 6).flatmap(lambda cores: st.tuples(st.just(cores), st.integers(2, cores))),
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 9)), min_size=1, max_size=6),
    st.lists(st.integers(1, 12), max_size=6),
)
def test_backfill_cannot_starve_a_gang(
    shape: tuple[int, int], stream: list[tuple[int, int]], running: list[int]
) -> None:
    """A gang meets an endless stream of small jobs of others. It starts no later than its patience and the longest run."""
    cores, nodes = shape
    tick = PATIENCE_MS // 10
    ends: list[tuple[int, int]] = [(until, 1) for until in running[:cores]]
    gang = waiting_class(ResourceRequest("local_1", nodes), [0], "ann")
    longest = max([length for _, length in stream] + [*running, 1])
    queue: list[tuple[int, int, int]] = []  # sequence, cores, length
    for time in range(10 + longest + 3):
        for number, (size, length) in enumerate(stream):
            queue.append((1 + time * len(stream) + number, min(size, cores), length))
        ends = [(until, size) for until, size in ends if until > time]
        busy = sum(size for _, size in ends)
        made = plan(
            snapshot(
                machine(cores),
                [gang, *_small(queue, time * tick)],
                {family_key("local"): Quota(cores, busy)},
                Amount(busy, busy * 4096),
                recent={"bob": float(busy)},
            ),
            Millis(time * tick),
        )
        started = {start.job: start.placement.capacity.cores for start in made.starts}
        if "job-0" in started:
            return
        ends += [(time + length, size) for n, size, length in queue if f"job-{n}" in started]
        queue = [one for one in queue if f"job-{one[0]}" not in started]
    raise AssertionError("the gang never started")


def _small(queue: list[tuple[int, int, int]], now: int) -> list[JobClass]:
    classes = []
    for cores in sorted({size for _, size, _ in queue}):
        heads = [n for n, size, _ in queue if size == cores][:4]
        one = waiting_class(ResourceRequest(f"local_{cores}"), heads, "bob", queued_at=now)
        classes.append(one)
    return classes


def test_the_simulation_has_teeth() -> None:
    """The same stream does pass a gang over while its patience lasts."""
    gang = waiting_class(ResourceRequest("local_1", 2), [0], "ann")
    small = JobClass(
        waiting_class(ResourceRequest("local_1"), [1], "bob").key,
        ResourceRequest("local_1"),
        1,
        (Head(waiting_class(ResourceRequest(), [1]).heads[0].job, 1, Millis(0)),),
    )
    made = plan(snapshot(machine(2), [gang, small], held=Amount(1, 4096)), Millis(PATIENCE_MS - 1))
    assert [start.job for start in made.starts] == ["job-1"]
