"""The catalogue: names, families, prices, a machine's own sizes."""

import pytest

from mayfly.domain.catalogue import CATALOGUE, families, find, find_family, nearest_size, of_family, own_sizes
from mayfly.domain.compute import Tier
from mayfly.kit.errors import Invalid


@pytest.mark.parametrize(
    ("name", "family", "vcpus", "gpus", "usd"),
    [
        ("Standard_NC24", "standardNCFamily", 24, 4, 3.6),
        ("Standard_NC12", "standardNCFamily", 12, 2, 1.8),
        ("STANDARD_NC6", "standardNCFamily", 6, 1, 0.9),
        ("Standard_E4s_v3", "standardESv3Family", 4, 0, 0.252),
        ("standard_e8s_v3", "standardESv3Family", 8, 0, 0.504),
        ("Standard_DS3_v2", "standardDSv2Family", 4, 0, 0.293),
        ("STANDARD_D2_V2", "standardDv2Family", 2, 0, 0.146),
        ("Standard_D2s_v3", "standardDSv3Family", 2, 0, 0.096),
        ("Standard_F4s_v2", "standardFSv2Family", 4, 0, 0.169),
        ("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24, 1, 3.673),
        ("Standard_ND40rs_v2", "standardNDSv2Family", 40, 8, 22.032),
        ("DS3_v2", "standardDSv2Family", 4, 0, 0.293),
    ],
)
def test_sizes_are_found_in_any_letter_case(name: str, family: str, vcpus: int, gpus: int, usd: float) -> None:
    size = find(name)
    assert (size.family, size.vcpus, size.gpus) == (family, vcpus, gpus)
    assert size.prices[Tier.STANDARD].usd_per_hour == pytest.approx(usd)


@pytest.mark.parametrize("name", ["Standard_E4s_v9", "Standard_DS3v2", "local_3x"])
def test_an_unknown_size_names_near_ones(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        find(name, own_sizes(4, 16384, 100))
    assert caught.value.code == "InstanceTypeUnknown"
    assert "Did you mean" in (caught.value.remedy or "")


def test_an_unknown_size_like_nothing_points_to_the_list() -> None:
    with pytest.raises(Invalid) as caught:
        find("a-very-different-word")
    assert caught.value.remedy == "'mayfly compute list-sizes' shows every size."


def test_every_size_is_whole() -> None:
    for key, size in CATALOGUE.items():
        assert key == size.name.lower()
        assert size.vcpus > 0 and size.memory_gib > 0 and size.disk_gib >= 0 and size.speed > 0
        assert (size.gpus > 0) == (size.gpu_model is not None)
        for price in size.prices.values():
            assert price.usd_per_hour > 0 and price.source and price.as_of
        if Tier.SPOT in size.prices:
            assert size.prices[Tier.SPOT].usd_per_hour < size.prices[Tier.STANDARD].usd_per_hour


def test_an_unknown_price_is_missing_and_a_retired_size_says_so() -> None:
    assert find("Standard_M8ms").prices == {}
    assert Tier.SPOT not in find("Standard_D2s_v5").prices
    assert find("Standard_NC6").retired and not find("Standard_NC6s_v3").retired


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 9, 16, 20, 96, 255])
def test_own_sizes_rise_to_the_machine_and_share_it(cores: int) -> None:
    sizes = own_sizes(cores, cores * 4000 + 7, 100.0)
    counts = [size.vcpus for size in sizes]
    assert counts == sorted(set(counts))
    assert counts[0] == 1 and counts[-1] == cores
    assert counts[: min(cores, 8)] == list(range(1, min(cores, 8) + 1))
    assert all(size.own and size.family == "local" and size.name == f"local_{size.vcpus}" for size in sizes)
    assert all(Tier.STANDARD in size.prices for size in sizes)
    assert sizes[-1].disk_gib == pytest.approx(100.0)
    assert round(sizes[-1].memory_gib * 1024) == cores * 4000 + 7


def test_a_machine_with_nothing_is_refused() -> None:
    with pytest.raises(Invalid, match="cannot run a job"):
        own_sizes(0, 100, 1.0)


def test_the_size_to_compare_with_has_at_least_as_many_cores() -> None:
    assert nearest_size(2, 8.0).vcpus == 2
    assert nearest_size(3, 12.0).vcpus == 4
    assert nearest_size(5000, 12.0).vcpus == max(s.vcpus for s in CATALOGUE.values() if not s.gpus and s.prices)


def test_families_are_found_by_name_or_by_a_size() -> None:
    assert find_family("STANDARDncFAMILY") == "standardNCFamily"
    assert find_family("Standard_NC24") == "standardNCFamily"
    assert find_family("local") == "local" and find_family("*") == "*"
    assert "local" in families()
    assert [size.name for size in of_family("standardNCFamily")][:2] == ["Standard_NC6", "Standard_NC12"]
    with pytest.raises(Invalid, match="no VM family"):
        find_family("standardNCFamly")
