"""Every life of `testing/lives.py` goes on to its end when a process of ours dies at a kill point, drawn anew each time
from those that the life came by. Some of them each time; `scripts/soak kills` takes as many as one likes, and pairs of them."""

from __future__ import annotations

import pytest

from mayfly.testing.chance import chance, drawn
from mayfly.testing.embedded import Make
from mayfly.testing.lives import LIVES
from mayfly.testing.storms import storm
from mayfly.testing.trials import lived

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault, pytest.mark.timeout(600)]


@pytest.mark.parametrize("life", drawn("lives", sorted(LIVES), 3))
def test_a_life_survives_a_death_at_any_of_its_points(fresh: Make, life: str) -> None:
    passed, _ = lived(fresh(), LIVES[life])
    point = chance(life).choice(passed)
    print(f"dies at: {point}")
    lived(fresh(), LIVES[life], point)


def test_what_is_said_of_jobs_in_a_storm_is_what_their_witness_saw(fresh: Make) -> None:
    wrong, struck = storm(fresh(), chance("storm").randrange(1 << 32), 10)
    assert not wrong, (wrong, struck)
