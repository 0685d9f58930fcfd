"""The version that was landed last is followed by the present one, with jobs running across the change."""

from __future__ import annotations

from pathlib import Path

import pytest

from mayfly.testing.embedded import Make
from mayfly.testing.upgrades import earlier, upgraded

pytestmark = [pytest.mark.end_to_end, pytest.mark.fault, pytest.mark.timeout(300)]


def test_what_the_last_version_began_goes_on(fresh: Make, tmp_path: Path) -> None:
    if not earlier("HEAD~1", tmp_path / "earlier"):
        pytest.skip("This checkout has no history: there is no earlier version to begin with.")
    upgraded(fresh(), tmp_path / "earlier" / "src")
