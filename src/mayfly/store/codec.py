"""Plain functions between domain values and the text that rows keep. Those that come again and again, because
many jobs are alike, are remembered: nobody changes either side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mayfly.domain.compute import Amount, InstanceType, LedgerKey, Placement, Price, ResourceRequest, Target, Tier
from mayfly.domain.job import Cause, Phase, Rank, RankState
from mayfly.domain.queue import Candidate, ClassKey, Explanation
from mayfly.kit.ids import NodeId, WorkspaceId

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
"""Made once: `json.dumps` makes one for each text."""


def dump(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, so that equal values are equal text."""
    return _CANONICAL.encode(value)


def load(text: str) -> Any:
    return json.loads(text)


@lru_cache(maxsize=1024)
def request_json(request: ResourceRequest) -> str:
    return dump(
        {
            "instance_type": request.instance_type,
            "node_count": request.node_count,
            "tier": request.tier.value,
            "target": request.target.value,
            "disk_gib": request.disk_gib,
        }
    )


@lru_cache(maxsize=1024)
def request_of(text: str) -> ResourceRequest:
    data = load(text)
    return ResourceRequest(
        data["instance_type"], data["node_count"], Tier(data["tier"]), Target(data["target"]), data["disk_gib"]
    )


@lru_cache(maxsize=1024)
def class_text(key: ClassKey) -> str:
    return dump([key.workspace, key.subscription, key.submitter, key.priority, key.request])


@lru_cache(maxsize=1024)
def class_of(text: str) -> ClassKey:
    workspace, subscription, submitter, priority, request = load(text)
    return ClassKey(WorkspaceId(workspace), subscription, submitter, priority, request)


@lru_cache(maxsize=1024)
def sentence_of(explanation: str) -> str:
    """What an explanation says, without its candidates."""
    return load(explanation)["sentence"]


def amount_data(amount: Amount) -> dict[str, Any]:
    return {"cores": amount.cores, "memory_mib": amount.memory_mib, "gpus": sorted(amount.gpus)}


def amount_of(data: Mapping[str, Any]) -> Amount:
    return Amount(data["cores"], data["memory_mib"], frozenset(data["gpus"]))


@lru_cache(maxsize=1024)
def amount_in(text: str) -> Amount:
    return amount_of(load(text))


def instance_data(size: InstanceType) -> dict[str, Any]:
    return {
        "name": size.name,
        "family": size.family,
        "vcpus": size.vcpus,
        "memory_gib": size.memory_gib,
        "disk_gib": size.disk_gib,
        "gpus": size.gpus,
        "gpu_model": size.gpu_model,
        "prices": {tier.value: [price.usd_per_hour, price.source, price.as_of] for tier, price in size.prices.items()},
        "speed": size.speed,
        "retired": size.retired,
        "own": size.own,
    }


def instance_of(data: Mapping[str, Any]) -> InstanceType:
    prices = {Tier(tier): Price(*price) for tier, price in data["prices"].items()}
    return InstanceType(**{**data, "prices": prices})


def placement_text(placement: Placement) -> str:
    return dump(
        {
            "instance_type": instance_data(placement.instance_type),
            "node_count": placement.node_count,
            "tier": placement.tier.value,
            "emulated": placement.emulated,
            "quota": [[key.scope, key.family, key.tier.value, cores] for key, cores in placement.quota.items()],
            "capacity": amount_data(placement.capacity),
            "per_node": amount_data(placement.per_node),
            "reuse": list(placement.reuse),
        }
    )


@lru_cache(maxsize=1024)
def placement_of(text: str) -> Placement:
    data = load(text)
    return Placement(
        instance_type=instance_of(data["instance_type"]),
        node_count=data["node_count"],
        tier=Tier(data["tier"]),
        emulated=data["emulated"],
        quota={LedgerKey(scope, family, Tier(tier)): cores for scope, family, tier, cores in data["quota"]},
        capacity=amount_of(data["capacity"]),
        per_node=amount_of(data["per_node"]),
        reuse=tuple(NodeId(node) for node in data["reuse"]),
    )


def explanation_text(explanation: Explanation) -> str:
    return dump(
        {
            "sentence": explanation.sentence,
            "missing": explanation.missing,
            "candidates": [
                {
                    "instance_type": one.instance_type,
                    "score": one.score,
                    "factors": dict(one.factors),
                    "refused": one.refused,
                    "reason": one.reason,
                }
                for one in explanation.candidates
            ],
        }
    )


@lru_cache(maxsize=1024)
def explanation_of(text: str) -> Explanation:
    data = load(text)
    return Explanation(
        data["sentence"], data["missing"], tuple(Candidate(**candidate) for candidate in data["candidates"])
    )


def cause_text(cause: Cause | None) -> str | None:
    return None if cause is None else dump([cause.code, cause.message, cause.remedy])


@lru_cache(maxsize=1024)
def cause_of(text: str | None) -> Cause | None:
    return None if text is None else Cause(*load(text))


def phases_text(phases: Mapping[Phase, int]) -> str:
    return dump({phase.value: spent for phase, spent in phases.items()})


def phases_of(text: str) -> dict[Phase, int]:
    return {Phase(name): spent for name, spent in load(text).items()}


def ranks_text(ranks: tuple[Rank, ...]) -> str:
    return dump([[r.state.value, r.phase.value, r.exit_code, r.before_cancel, cause_text(r.cause)] for r in ranks])


@lru_cache(maxsize=1024)
def ranks_of(text: str) -> tuple[Rank, ...]:
    return tuple(
        Rank(RankState(state), Phase(phase), code, before_cancel, cause_of(cause))
        for state, phase, code, before_cancel, cause in load(text)
    )
