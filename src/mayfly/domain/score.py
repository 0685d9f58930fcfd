"""The score of a size: four factors in 0 … 1, weighted. The formula is written out in docs/placement.md."""

from __future__ import annotations

from collections.abc import Mapping

from mayfly.domain.compute import Fleet, InstanceType, ResourceRequest, Tier
from mayfly.domain.fitting import disk_of

WEIGHTS: Mapping[str, float] = {"quota": 0.25, "cost": 0.2, "performance": 0.45, "disk": 0.1}
"""They add up to 1, so a score lies in 0 … 1."""
HALF_COST_USD = 0.2
"""Dollars an hour for one node at which the cost factor is a half."""
HALF_CORES = 2.0
"""Cores times speed at which the performance factor is a half: twice the cores is never twice the training."""
HALF_DISK_GIB = 32.0
"""Free disk at which the disk factor is a half."""


def score(factors: Mapping[str, float]) -> float:
    """The weighted sum of the four factors, rounded so that equal sizes compare equal."""
    return round(sum(WEIGHTS[name] * value for name, value in factors.items()), 6)


def steady_factors(request: ResourceRequest, size: InstanceType, fleet: Fleet) -> Mapping[str, float]:
    """The three that do not depend on what others hold."""
    price = size.prices.get(request.tier) or (size.prices.get(Tier.STANDARD) if size.own else None)
    spare = max(0.0, disk_of(size, request.node_count, fleet) - (request.disk_gib or 0.0))
    power = size.vcpus * size.speed
    return {
        "cost": round(HALF_COST_USD / (HALF_COST_USD + price.usd_per_hour), 4) if price else 0.0,
        "performance": round(power / (power + HALF_CORES), 4),
        "disk": round(spare / (spare + HALF_DISK_GIB), 4),
    }
