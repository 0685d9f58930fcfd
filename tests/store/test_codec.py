"""What rows keep as text comes back as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from mayfly.domain.compute import Amount, InstanceType, LedgerKey, Placement, Price, ResourceRequest, Target, Tier
from mayfly.domain.job import Cause, Phase, Rank, RankState
from mayfly.domain.queue import Candidate, ClassKey, Explanation
from mayfly.kit.ids import NodeId, WorkspaceId
from mayfly.store import codec

texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=20)
counts = some.integers(0, 1 << 40)
shares = some.floats(0, 1e6, allow_nan=False)
maybe_text = some.none() | texts
tiers = some.sampled_from(Tier)
amounts = some.builds(Amount, counts, counts, some.frozensets(texts, max_size=3))
sizes = some.builds(
    InstanceType,
    name=texts,
    family=texts,
    vcpus=counts,
    memory_gib=shares,
    disk_gib=shares,
    gpus=some.integers(0, 8),
    gpu_model=maybe_text,
    prices=some.dictionaries(tiers, some.builds(Price, shares, texts, texts)),
    speed=shares,
    retired=some.booleans(),
    own=some.booleans(),
)
placements = some.builds(
    Placement,
    instance_type=sizes,
    node_count=some.integers(1, 64),
    tier=tiers,
    emulated=some.booleans(),
    quota=some.dictionaries(some.builds(LedgerKey, texts, texts, tiers), counts, max_size=3),
    capacity=amounts,
    per_node=amounts,
    reuse=some.lists(texts.map(NodeId), max_size=3).map(tuple),
)
requests = some.builds(
    ResourceRequest,
    instance_type=maybe_text,
    node_count=some.integers(1, 64),
    tier=tiers,
    target=some.sampled_from(Target),
    disk_gib=some.none() | shares,
)
classes = some.builds(ClassKey, texts.map(WorkspaceId), texts, texts, some.integers(1, 3), texts)
explanations = some.builds(
    Explanation,
    sentence=texts,
    missing=some.sampled_from(["quota", "capacity", "turn", None]),
    candidates=some.lists(
        some.builds(
            Candidate,
            instance_type=texts,
            score=some.none() | shares,
            factors=some.dictionaries(texts, shares, max_size=3),
            refused=maybe_text,
            reason=maybe_text,
        ),
        max_size=3,
    ).map(tuple),
)
causes = some.none() | some.builds(Cause, texts, texts, maybe_text)
ranks = some.lists(
    some.builds(
        Rank,
        state=some.sampled_from(RankState),
        phase=some.sampled_from(Phase),
        exit_code=some.none() | some.integers(0, 255),
        before_cancel=some.booleans(),
        cause=causes,
    ),
    max_size=4,
).map(tuple)


@given(requests)
def test_requests(request: ResourceRequest) -> None:
    assert codec.request_of(codec.request_json(request)) == request


@given(classes)
def test_classes(key: ClassKey) -> None:
    assert codec.class_of(codec.class_text(key)) == key


@given(classes, classes)
def test_classes_are_equal_exactly_when_their_texts_are(one: ClassKey, other: ClassKey) -> None:
    assert (one == other) == (codec.class_text(one) == codec.class_text(other))


@given(placements)
def test_placements(placement: Placement) -> None:
    kept = codec.placement_of(codec.placement_text(placement))
    assert kept == placement
    assert list(kept.quota) == list(placement.quota), "the order of the keys is the order of taking"


@given(explanations)
def test_explanations(explanation: Explanation) -> None:
    assert codec.explanation_of(codec.explanation_text(explanation)) == explanation


@given(ranks)
def test_ranks(kept: tuple[Rank, ...]) -> None:
    assert codec.ranks_of(codec.ranks_text(kept)) == kept


@given(causes)
def test_causes(cause: Cause | None) -> None:
    assert codec.cause_of(codec.cause_text(cause)) == cause


@given(some.dictionaries(some.sampled_from(Phase), counts))
def test_phases(phases: dict[Phase, int]) -> None:
    assert codec.phases_of(codec.phases_text(phases)) == phases
