"""The catalogue of instance types: Azure's sizes by lower-case name, a machine's own sizes, and finding one by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from mayfly.domain.compute import InstanceType, Price, Tier
from mayfly.domain.sizes import FAMILIES, PRICE_DATE, PRICE_SOURCE, SPOT_SHARE, SPOT_SOURCE, FamilyRows, SizeRow
from mayfly.kit.errors import Invalid, nearest

LOCAL_FAMILY = "local"
"""The family of every machine's own sizes; its quota is the machine's cores."""
EVERY_COUNT_TO = 8
"""A machine offers every core count up to this one, then powers of two and one and a half times those."""


def _instance_type(family: FamilyRows, row: SizeRow) -> InstanceType:
    name, vcpus, memory, disk, gpus, usd = row
    prices: dict[Tier, Price] = {}
    if usd is not None:
        prices[Tier.STANDARD] = Price(usd, PRICE_SOURCE, PRICE_DATE)
        if family.low_priority:
            prices[Tier.SPOT] = Price(round(usd * SPOT_SHARE, 4), SPOT_SOURCE, PRICE_DATE)
    return InstanceType(
        name=f"Standard_{name}",
        family=family.name,
        vcpus=vcpus,
        memory_gib=memory,
        disk_gib=disk,
        gpus=gpus,
        gpu_model=family.gpu_model,
        prices=MappingProxyType(prices),
        speed=family.speed,
        retired=family.retired,
    )


CATALOGUE: Mapping[str, InstanceType] = MappingProxyType(
    {size.name.lower(): size for size in (_instance_type(family, row) for family in FAMILIES for row in family.rows)}
)
"""Lower-case name → instance type."""

_GPU_FAMILIES = frozenset(family.name for family in FAMILIES if family.gpu_model is not None)
_FAMILY_NAMES = {family.name.lower(): family.name for family in FAMILIES} | {LOCAL_FAMILY: LOCAL_FAMILY}


def find(
    name: str, own_sizes: Sequence[InstanceType] = (), catalogue: Mapping[str, InstanceType] = CATALOGUE
) -> InstanceType:
    """The size of that name in any letter case, with or without `Standard_`; the fleet's own first.

    Raises Invalid `InstanceTypeUnknown` with the nearest names.
    """
    wanted = name.strip().lower()
    own = {size.name.lower(): size for size in own_sizes}
    found = own.get(wanted) or catalogue.get(wanted) or catalogue.get(f"standard_{wanted}")
    if found is not None:
        return found
    near = near_names(name, (*(s.name for s in own_sizes), *(s.name for s in catalogue.values())))
    remedy = f"Did you mean {' or '.join(near)}? " if near else ""
    raise Invalid(
        "InstanceTypeUnknown",
        f"There is no instance type '{name}'.",
        remedy=f"{remedy}'mayfly compute list-sizes' shows every size.",
        pointer="/resources/instance_type",
    )


def near_names(word: str, names: Sequence[str], most: int = 3) -> tuple[str, ...]:
    """Up to `most` names that are like `word`, the nearest first."""
    left = list(names)
    found: list[str] = []
    while left and len(found) < most and (match := nearest(word, left)) is not None:
        found.append(match)
        left.remove(match)
    return tuple(found)


def is_gpu_family(family: str) -> bool:
    return family in _GPU_FAMILIES


def families() -> tuple[str, ...]:
    """Every family that has a quota: Azure's and `local`, in the catalogue's order."""
    return tuple(_FAMILY_NAMES.values())


def find_family(name: str) -> str:
    """The family of that name in Azure's spelling, whatever the case; a size's name stands for its family; `*` is the
    total. Raises Invalid `FamilyUnknown` with the nearest."""
    wanted = name.strip().lower()
    if wanted == "*":
        return "*"
    if wanted in _FAMILY_NAMES:
        return _FAMILY_NAMES[wanted]
    if wanted in CATALOGUE:
        return CATALOGUE[wanted].family
    near = nearest(name, families())
    raise Invalid(
        "FamilyUnknown",
        f"There is no VM family '{name}'.",
        remedy=f"Did you mean {near}?" if near else "'mayfly quota list' shows every family.",
    )


def of_family(family: str) -> tuple[InstanceType, ...]:
    """The catalogue's sizes of a family, smallest first as listed."""
    return tuple(size for size in CATALOGUE.values() if size.family == family)


def own_sizes(cores: int, memory_mib: int, disk_gib: float, gpus: int = 0) -> tuple[InstanceType, ...]:
    """A machine's own sizes `local_1` … `local_<cores>` in rising order: each has its share of memory and disk, so that
    any mix whose cores fit also fits in memory and disk. They have no GPU (a GPU is taken by naming a GPU size, whose
    quota is what the `gpus` present can fill), and cost nothing; the price they carry is the list price of the nearest
    size with as many cores, for comparison. Raises Invalid `FleetEmpty` when there is not one core or no memory."""
    if cores < 1 or memory_mib < 1:
        raise Invalid("FleetEmpty", f"A machine with {cores} cores and {memory_mib} MiB cannot run a job.")
    return tuple(_own(count, cores, memory_mib, disk_gib) for count in _counts(cores))


def _own(count: int, cores: int, memory_mib: int, disk_gib: float) -> InstanceType:
    memory = memory_mib * count // cores
    return InstanceType(
        name=f"local_{count}",
        family=LOCAL_FAMILY,
        vcpus=count,
        memory_gib=memory / 1024,
        disk_gib=disk_gib * count / cores,
        prices=nearest_size(count, memory / 1024).prices,
        own=True,
    )


def _counts(cores: int) -> Iterator[int]:
    yield from range(1, min(cores, EVERY_COUNT_TO) + 1)
    step = EVERY_COUNT_TO
    while step < cores:
        for count in (step * 3 // 2, step * 2):
            if count < cores:
                yield count
        step *= 2
    if cores > EVERY_COUNT_TO:
        yield cores


def nearest_size(vcpus: int, memory_gib: float, catalogue: Mapping[str, InstanceType] = CATALOGUE) -> InstanceType:
    """The size to compare with: among current CPU sizes with a price, the fewest cores that are enough (else the most
    there are), then the nearest memory, then the name."""
    usable = [s for s in catalogue.values() if not s.gpus and not s.retired and Tier.STANDARD in s.prices]
    enough = [s for s in usable if s.vcpus >= vcpus]

    def unlike(size: InstanceType) -> tuple[int, float, str]:
        return (abs(size.vcpus - vcpus), _ratio(size.memory_gib, memory_gib), size.name)

    return min(enough or usable, key=unlike)


def _ratio(left: float, right: float) -> float:
    """How many times the larger is the smaller, less one."""
    low, high = sorted((max(left, 1e-9), max(right, 1e-9)))
    return high / low - 1
