#!/usr/bin/env python3
"""What a step costs that is done already, or has nothing to do, in Luigi, Metaflow and Dagster, in-process; what is not installed
is said. Run by `pipeline.py --peers` with an interpreter that may have them; prints JSON."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

STEPS = 200
FLOW = """
from metaflow import FlowSpec, step

class Chain(FlowSpec):
    @step
    def start(self):
        self.x = 0
        self.next(self.s1)
{steps}
    @step
    def end(self):
        pass

if __name__ == "__main__":
    Chain()
"""


def luigi_reused(folder: Path) -> dict[str, float]:
    """A chain whose targets are all there: its scheduler in-process, no worker processes."""
    import luigi

    class Step(luigi.Task):
        number = luigi.IntParameter()

        def requires(self) -> object:
            return Step(number=self.number - 1) if self.number else []

        def output(self) -> object:
            return luigi.LocalTarget(str(folder / f"{self.number}"))

        def run(self) -> None:
            with self.output().open("w") as file:
                file.write("x")

    def all_of_it() -> float:
        before = time.perf_counter()
        luigi.build([Step(number=number) for number in range(STEPS)], local_scheduler=True, log_level="CRITICAL")
        return (time.perf_counter() - before) * 1000 / STEPS

    return {"ran_ms_a_step": round(all_of_it(), 2), "reused_ms_a_step": round(all_of_it(), 2)}


def dagster_ran(_folder: Path) -> dict[str, float]:
    """It reuses assets, not steps; a step that does nothing is the least that one costs."""
    from dagster import In, Nothing, job, op

    @op(ins={"before": In(Nothing)})
    def nothing() -> None:
        pass

    @job
    def chain() -> None:
        made = nothing.alias("s0")()
        for number in range(1, STEPS):
            made = nothing.alias(f"s{number}")(before=made)

    before = time.perf_counter()
    chain.execute_in_process()
    return {"ran_ms_a_step": round((time.perf_counter() - before) * 1000 / STEPS, 2)}


def metaflow_resumed(folder: Path) -> dict[str, float]:
    """A process a step; `resume` takes over what is done, up to the last one."""
    import metaflow  # noqa: F401 - whether it is there

    count = 20
    steps = "".join(
        f"\n    @step\n    def s{n}(self):\n        self.next(self.{f's{n + 1}' if n < count else 'end'})\n"
        for n in range(1, count + 1)
    )
    (folder / "flow.py").write_text(FLOW.format(steps=steps))
    environment = {**os.environ, "METAFLOW_HOME": str(folder), "USERNAME": "bench"}

    def took(*words: str) -> float:
        before = time.perf_counter()
        subprocess.run(
            [sys.executable, "flow.py", "--quiet", *words], cwd=folder, env=environment, check=True, capture_output=True
        )
        return (time.perf_counter() - before) * 1000 / count

    return {"ran_ms_a_step": round(took("run"), 2), "reused_ms_a_step": round(took("resume", "end"), 2)}


PEERS: dict[str, Callable[[Path], dict[str, float]]] = {
    "luigi": luigi_reused,
    "dagster": dagster_ran,
    "metaflow": metaflow_resumed,
}


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    found: dict[str, object] = {}
    for name, measure in PEERS.items():
        with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as folder:
            try:
                found[name] = measure(Path(folder))
            except ImportError:
                found[name] = "not installed"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
