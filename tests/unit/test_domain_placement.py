"""The score, its four factors, and what a placement takes."""

from dataclasses import replace

import pytest

from mayfly.domain.compute import Amount, Fleet, InstanceType, Placement, Price, Quota, ResourceRequest, Tier
from mayfly.domain.placement import candidates, place, rank_amounts
from mayfly.domain.queue import Explanation, Snapshot
from mayfly.domain.score import WEIGHTS
from mayfly.kit.ids import NodeId
from mayfly.testing.snapshots import OWNER, family_key, machine, snapshot

SMALL = InstanceType("small", "standardDSv3Family", 2, 8, 100, prices={Tier.STANDARD: Price(0.1, "list", "2024")})
LARGE = InstanceType("large", "standardESv3Family", 4, 8, 100, prices={Tier.STANDARD: Price(0.2, "list", "2024")})


def fleet_of(*sizes: InstanceType) -> Fleet:
    return Fleet("engine", Amount(64, 64 * 8192), sizes, 1000.0)


def chosen(view: Snapshot, request: ResourceRequest | None = None) -> str:
    found = place(request or ResourceRequest(), OWNER, view)
    assert isinstance(found, Placement), found
    return found.instance_type.name


def test_the_weights_make_a_score_between_0_and_1() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    for one in candidates(ResourceRequest(), OWNER, snapshot(machine(16))):
        assert set(one.factors) == set(WEIGHTS) and one.score is not None
        assert all(0 <= value <= 1 for value in one.factors.values()) and 0 <= one.score <= 1


def test_performance_decides_when_nothing_else_differs() -> None:
    fleet = fleet_of(SMALL, replace(LARGE, prices=SMALL.prices, family=SMALL.family, vcpus=2, speed=1.5))
    assert chosen(snapshot(fleet)) == "large"
    assert chosen(snapshot(fleet_of(SMALL, replace(LARGE, prices=SMALL.prices, vcpus=2, speed=0.5)))) == "small"


def test_a_higher_price_alone_flips_the_choice() -> None:
    assert chosen(snapshot(fleet_of(SMALL, LARGE))) == "large"
    dear = replace(LARGE, prices={Tier.STANDARD: Price(2.0, "list", "2024")})
    assert chosen(snapshot(fleet_of(SMALL, dear))) == "small"


def test_an_unknown_price_counts_as_dear() -> None:
    assert chosen(snapshot(fleet_of(SMALL, replace(LARGE, prices={}, vcpus=3)))) == "small"


def test_less_quota_alone_flips_the_choice() -> None:
    fleet = fleet_of(SMALL, LARGE)
    assert chosen(snapshot(fleet)) == "large"
    tight = {family_key(LARGE.family): Quota(24, held=16)}
    assert chosen(snapshot(fleet, quotas=tight)) == "small"


def test_less_disk_alone_flips_the_choice() -> None:
    twin = replace(SMALL, name="twin", disk_gib=500)
    assert chosen(snapshot(fleet_of(SMALL, twin))) == "twin"
    assert chosen(snapshot(fleet_of(SMALL, replace(twin, disk_gib=5)))) == "small"


def test_known_inputs_move_a_job_to_a_size_with_disk() -> None:
    view = snapshot(machine(4, disk_gib=100))
    assert chosen(view, ResourceRequest(disk_gib=1)) == "local_2"
    assert chosen(view, ResourceRequest(disk_gib=60)) in ("local_3", "local_4")
    refused = {one.instance_type: one.refused for one in candidates(ResourceRequest(disk_gib=60), OWNER, view)}
    assert refused["local_1"] == refused["local_2"] == "DiskTooSmall"


@pytest.mark.parametrize("held", [0, 1, 2, 3, 4, 5, 6, 7])
def test_a_default_job_never_waits_while_a_core_is_left(held: int) -> None:
    fleet = machine(8)
    found = place(ResourceRequest(), OWNER, snapshot(fleet, held=Amount(held, held * 4096)))
    assert isinstance(found, Placement) and found.capacity.cores <= 8 - held


def test_only_own_sizes_are_chosen_and_the_rest_say_why() -> None:
    found = candidates(ResourceRequest(), OWNER, snapshot(machine(2)), whole_catalogue=True)
    assert [one.instance_type for one in found if one.refused is None] == ["local_1", "local_2"]
    assert {one.refused for one in found[2:]} == {"NotOfThisFleet"} and len(found) > 100


def test_an_unknown_name_is_one_refused_candidate() -> None:
    (one,) = candidates(ResourceRequest("nothing"), OWNER, snapshot())
    assert one.refused == "InstanceTypeUnknown"
    found = place(ResourceRequest("nothing"), OWNER, snapshot())
    assert isinstance(found, Explanation)


def test_a_gang_runs_as_own_nodes_and_takes_warm_ones_of_its_size() -> None:
    warm = {"local_1": (NodeId("n1"), NodeId("n2"), NodeId("n3")), "local_2": (NodeId("n9"),)}
    found = place(ResourceRequest("local_1", 2), OWNER, snapshot(machine(2), warm=warm))
    assert isinstance(found, Placement)
    assert found.reuse == ("n1", "n2") and found.capacity.cores == 2 and found.per_node.cores == 1
    assert not found.emulated


def test_emulated_gangs_go_one_after_another() -> None:
    fleet = machine(2)
    request = ResourceRequest("Standard_DS3_v2", 2)
    first = place(request, OWNER, snapshot(fleet))
    assert isinstance(first, Placement) and first.emulated and first.capacity == fleet.total
    second = place(request, OWNER, snapshot(fleet, held=first.capacity))
    assert isinstance(second, Explanation) and second.missing == "capacity"


def test_gpus_are_dealt_to_ranks_without_sharing() -> None:
    fleet = machine(12, 12 * 10240, gpus=["a", "b"])
    found = place(ResourceRequest("Standard_NC6", 2), OWNER, snapshot(fleet))
    assert isinstance(found, Placement) and not found.emulated
    first, second = rank_amounts(found)
    assert first.gpus == {"a"} and second.gpus == {"b"}


@pytest.mark.parametrize(("cores", "expected"), [(1, "local_1"), (2, "local_1"), (4, "local_2"), (16, "local_4")])
def test_an_idle_machine_gives_a_part_of_itself(cores: int, expected: str) -> None:
    assert chosen(snapshot(machine(cores))) == expected
