"""Jobs, nodes and the protocol between them, played through what can happen to them and held against the promises."""

from __future__ import annotations

import os

import pytest

from mayfly.testing.chance import seed
from mayfly.testing.histories import hunt
from mayfly.testing.histories.moves import WEIGHTS, Move, drawn
from mayfly.testing.histories.rows import RowServer
from mayfly.testing.soak import played

SEED = seed()
"""Another one in every run."""
HISTORIES, PARTS = int(os.environ.get("MAYFLY_HISTORIES") or 2_000), 20
"""Parts, so that several workers can play them. `.ci/run` asks for 10,000."""


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_holds_in_every_history(part: int) -> None:
    each = HISTORIES // PARTS
    story = played(SEED + part * each, each)
    assert story is None, f"{story}\nAgain: scripts/soak histories --seed {story.seed} --histories 1"


def test_a_history_is_told_by_its_seed_alone() -> None:
    assert drawn(7) == drawn(7) != drawn(8)


class Forgetful(RowServer):
    """One that forgets a job now and then."""

    def start(self) -> None:
        super().start()
        if len(self.rows.jobs) > 1:
            self.rows.jobs.pop("job-1")


def test_a_broken_promise_is_told_with_nothing_that_is_not_needed() -> None:
    story = hunt.hunt(range(1000), Forgetful)
    assert story is not None and "job-1 was accepted and is not there" in story.broken
    assert len(story.moves) <= 4 and hunt.broken_by(story.moves, Forgetful) == story.broken
    assert [move.kind for move in story.moves if move.kind == "submit"] == ["submit"] * 2
    assert str(story).count("\n") == len(story.moves) + 1 and f"seed {story.seed}: " in str(story)


def test_any_part_of_a_history_can_be_played() -> None:
    for kind in WEIGHTS:
        assert hunt.broken_by([Move(kind, 5, 5), Move("submit"), Move(kind, 3, 4)], RowServer) is None
