from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mayfly.testing.nodes import Nodes


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    tmp_path.chmod(0o700)
    found = Nodes(tmp_path / "state")
    yield found
    found.close()
