"""What a small job on a warm node makes last, in counts: a fifth more is the most."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mayfly.testing.embedded import HELLO, Make
from mayfly.testing.nodes import until

pytestmark = pytest.mark.end_to_end


def test_what_a_job_makes_durable(fresh: Make, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    one = fresh(MAYFLY_KILL_TRACE=str(trace))
    one.start()
    for _ in range(2):  # the second has the node for itself, and it is warm
        trace.write_text("")
        one.wait(one.post(HELLO), "Completed")
        until(lambda: "server:attempt released:after" in trace.read_text())
    passed = [point for point in trace.read_text().splitlines() if point.endswith(":before")]
    units = Counter(point for point in passed if point.startswith("store:") and "_mine" not in point)
    files = Counter(point for point in passed if point.startswith("node:"))
    assert units["store:reports.apply:before"] <= 4  # 2 and a sample, where nothing is starved
    assert sum(units.values()) <= 8, units
    assert sum(files.values()) <= 9, files
