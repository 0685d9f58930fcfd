"""Quota defaults and the outcomes at submit."""

import pytest

from mayfly.domain.compute import Amount, Fleet, LedgerKey, Quota, ResourceRequest, Target, Tier
from mayfly.domain.outcome import Outcome, outcome
from mayfly.domain.quota import default_limit, ledger_keys
from mayfly.kit.errors import Invalid, Refused
from mayfly.testing.snapshots import OWNER, family_key, machine, snapshot

R = ResourceRequest


def decide(
    request: ResourceRequest,
    fleet: Fleet | None = None,
    quotas: dict[LedgerKey, Quota] | None = None,
    held: Amount | None = None,
) -> Outcome:
    return outcome(request, OWNER, snapshot(fleet or machine(), quotas=quotas, held=held))


def refusal(
    request: ResourceRequest, fleet: Fleet | None = None, quotas: dict[LedgerKey, Quota] | None = None
) -> Refused:
    with pytest.raises(Refused) as caught:
        decide(request, fleet, quotas)
    return caught.value


def test_rows_are_taken_in_a_fixed_order_and_spot_is_one_number() -> None:
    keys = ledger_keys("s", "w", "f", Tier.STANDARD)
    assert [(key.scope, key.family) for key in keys] == [
        ("subscription:s", "f"),
        ("subscription:s", "*"),
        ("workspace:w", "f"),
    ]
    assert ledger_keys("s", "w", "f", Tier.SPOT) == (LedgerKey("subscription:s", "*", Tier.SPOT),)


@pytest.mark.parametrize(
    ("family", "gpus", "limit"),
    [
        ("standardDSv2Family", 0, 24),
        ("standardNCFamily", 0, 0),
        ("standardNCFamily", 1, 6),
        ("standardNCFamily", 3, 18),
        ("standardNCASv3_T4Family", 1, 16),
        ("standardNDSv2Family", 7, 0),
        ("standardNDSv2Family", 8, 40),
        ("local", 0, 4),
        ("*", 0, 1000),
    ],
)
def test_default_limits(family: str, gpus: int, limit: int) -> None:
    fleet = machine(gpus=[f"gpu-{n}" for n in range(gpus)])
    assert default_limit(family_key(family), fleet) == limit
    assert default_limit(LedgerKey("workspace:ws", family, Tier.STANDARD), fleet) is None


def test_a_total_is_never_less_than_the_machine() -> None:
    assert default_limit(family_key("*"), machine(2048)) == 2048
    assert default_limit(family_key("*", Tier.SPOT), machine(2)) == 100


@pytest.mark.parametrize(("count", "largest"), [(7, 6), (12, 6)])
def test_outcome_a_gives_the_largest_valid_count(count: int, largest: int) -> None:
    error = refusal(R("Standard_DS3_v2", count))
    assert error.code == "JobNodeCountExceedsCoreQuota"
    assert "standardDSv2Family vCPU quota of 24" in error.message and f"{count * 4} vCPUs" in error.message
    assert f"largest valid node count is {largest}" in error.message
    assert f"`mayfly quota update --family standardDSv2Family --limit {count * 4}`" in (error.remedy or "")
    assert f"resources.instance_count to {largest}" in (error.remedy or "")
    assert isinstance(decide(R("Standard_DS3_v2", largest)), Outcome)


def test_outcome_a_takes_the_smallest_limit_over_scopes() -> None:
    rows = {LedgerKey("workspace:ws", "standardDSv2Family", Tier.STANDARD): Quota(8)}
    error = refusal(R("Standard_DS3_v2", 3), quotas=rows)
    assert "largest valid node count is 2" in error.message and "workspace" in error.message
    assert "--limit 12 --scope workspace" in (error.remedy or "")


def test_outcome_b_names_sizes_that_have_enough() -> None:
    error = refusal(R("Standard_E32s_v3"))
    assert error.code == "NoQuotaForInstanceType"
    assert "quota of 24" in error.message and "32 vCPUs" in error.message
    remedy = error.remedy or ""
    assert "`mayfly quota update --family standardESv3Family --limit 32`" in remedy
    named = remedy.split("such as ")[1].split(", or ")[0].split(", ")
    for name in named:
        assert isinstance(decide(R(name)), Outcome)


def test_a_gpu_size_without_gpus_is_b_with_a_rehearsal() -> None:
    error = refusal(R("Standard_NC24", 4))
    assert error.code == "NoQuotaForInstanceType" and "no GPU" in error.message
    assert "rehearse on CPU" in (error.remedy or "")
    assert "`mayfly quota update --family standardNCFamily --limit 96`" in (error.remedy or "")


def test_with_quota_granted_the_rehearsal_takes_the_whole_machine() -> None:
    fleet = machine(2)
    found = decide(R("Standard_NC24", 4), fleet, {family_key("standardNCFamily"): Quota(96)})
    assert found.placement is not None and found.placement.emulated
    assert found.placement.capacity == fleet.total
    assert found.placement.per_node == Amount(1, fleet.total.memory_mib // 4)
    assert set(found.placement.quota.values()) == {96}
    assert "emulated" in (found.message or "")


def test_outcome_c_waits_and_says_so() -> None:
    rows = {family_key("standardDSv2Family"): Quota(24, held=22)}
    found = decide(R("Standard_DS3_v2"), quotas=rows)
    assert found.placement is None and found.explanation.missing == "quota"
    assert "waits in Queued" in (found.message or "")


def test_an_emulated_job_that_waits_says_both() -> None:
    found = decide(R("Standard_DS4_v2"), held=Amount(1, 4096))
    assert found.placement is None and found.emulated and found.need == machine().total
    assert "waits in Queued" in (found.message or "") and "emulated" in (found.message or "")


def test_a_busy_machine_waits_for_capacity() -> None:
    found = decide(R(), held=machine().total)
    assert found.placement is None and found.explanation.missing == "capacity"


def test_outcome_d_within_quota_but_more_than_the_fleet() -> None:
    error = refusal(R("local_2", 3), quotas={family_key("local"): Quota(100)})
    assert error.code == "ExceedsFleet" and "largest possible count is 2" in error.message
    emulated = refusal(R("Standard_D2s_v3", 65), quotas={family_key("standardDSv3Family"): Quota(1000)})
    assert emulated.code == "ExceedsFleet" and "largest possible count is 64" in emulated.message


def test_own_sizes_are_never_emulated() -> None:
    assert refusal(R("local_4", 2)).code == "JobNodeCountExceedsCoreQuota"
    assert "quota update" not in (refusal(R("local_4", 2)).remedy or ""), "more quota would give no more machine"


def test_a_fleet_that_does_not_emulate_gives_only_its_sizes() -> None:
    fleet = machine(emulates=False)
    assert refusal(R("Standard_D2s_v3"), fleet).code == "ExceedsFleet"
    assert decide(R("local_2"), fleet).placement is not None


@pytest.mark.parametrize(
    "request_", [R(disk_gib=201.0), R("local_1", disk_gib=51.0), R("Standard_D2s_v3", disk_gib=17)]
)
def test_a_disk_too_small(request_: ResourceRequest) -> None:
    error = refusal(request_)
    assert error.code == "DiskTooSmall" and error.remedy


def test_compute_local_has_no_quota_but_capacity() -> None:
    rows = {family_key("local"): Quota(0), family_key("standardNCFamily"): Quota(0)}
    found = decide(R(node_count=4, target=Target.LOCAL), quotas=rows)
    assert found.placement is not None and found.placement.quota == {}
    assert found.placement.capacity.cores == 4
    assert decide(R("Standard_NC24", target=Target.LOCAL), quotas=rows).placement is not None
    assert refusal(R(node_count=5, target=Target.LOCAL)).code == "ExceedsFleet"


def test_spot_is_counted_once_whatever_the_family() -> None:
    rows = {LedgerKey("subscription:sub", "*", Tier.SPOT): Quota(2)}
    found = decide(R(node_count=2, tier=Tier.SPOT), quotas=rows)
    assert found.placement is not None and list(found.placement.quota.values()) == [2]
    error = refusal(R(node_count=3, tier=Tier.SPOT), quotas=rows)
    assert error.code == "JobNodeCountExceedsCoreQuota" and "--tier Spot" in (error.remedy or "")


def test_a_named_size_that_fits_runs_for_real_beside_others() -> None:
    found = decide(R("Standard_D2_v2"), machine(4, 16384))
    assert found.placement is not None and not found.placement.emulated
    assert found.placement.capacity == Amount(2, 7 * 1024)


def test_a_real_gpu_is_given_to_one_job() -> None:
    fleet = machine(16, 16 * 8192, gpus=["gpu-a", "gpu-b"])
    first = decide(R("Standard_NC6"), fleet).placement
    assert first is not None and first.capacity.gpus == {"gpu-a"}
    second = decide(R("Standard_NC6"), fleet, held=first.capacity).placement
    assert second is not None and second.capacity.gpus == {"gpu-b"}
    third = decide(R("Standard_NC6"), fleet, held=first.capacity.plus(second.capacity))
    assert third.placement is None and third.explanation.missing == "capacity"


def test_an_unknown_size_is_invalid() -> None:
    with pytest.raises(Invalid) as caught:
        decide(R("Standard_E4s_v33"))
    assert caught.value.code == "InstanceTypeUnknown"


def test_a_fleet_without_sizes_is_refused_not_crashed_on() -> None:
    fleet = Fleet("none", Amount(), (), 0.0)
    assert refusal(R(), fleet).code == "ExceedsFleet"
