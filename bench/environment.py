"""How long a job waits for its environment on a node: one that is there, and one that has to be made from warm caches.

    python bench/environment.py [--rounds 7] [--packages numpy pandas scikit-learn]

The lock is found first, and the environment made once, so that uv's cache is warm (the first round fetches packages and
is shown too). `hit` is `Environments.build` and the job's layer; `miss` is the same with the environment gone from the
node. Both for jobs whose layer is an overlay and for those without. Beside them, in the same rounds, uv alone with the
same lock. Prints JSON; times in milliseconds, medians. Reach: hit ≤ 20 ms, miss ≤ 1 s.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mayfly.domain.environments import plan_digest
from mayfly.drivers.resolver_uv import UvResolver
from mayfly.node.environments import Environments, uv_tool
from mayfly.node.layer import lay
from mayfly.ports.resolver import Interpreter
from mayfly.transfer.removal import remove_tree
from mayfly.wire.agent import EnvironmentPlan

VERSION = platform.python_version()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--packages", nargs="+", default=["numpy", "pandas", "scikit-learn"])
    asked = parser.parse_args()
    lock = UvResolver().resolve(asked.packages, Interpreter(sys.executable, VERSION), lambda _line: None)
    plan = EnvironmentPlan(
        digest=plan_digest(VERSION, lock, {}),
        name="bench",
        python=sys.executable,
        python_version=".".join(VERSION.split(".")[:2]),
        lock=lock,
    )
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        shown = {
            "packages": asked.packages,
            "overlay": _measure(Path(name), plan, asked.rounds, overlays=True),
            "no_overlay": _measure(Path(name), plan, asked.rounds, overlays=False),
            "machine": {"python": VERSION, "cores": os.cpu_count()},
        }
        print(json.dumps(shown, indent=1))


def _measure(home: Path, plan: EnvironmentPlan, rounds: int, *, overlays: bool) -> dict[str, float]:
    cache, log = home / "cache", home / "build.log"
    variables = {**os.environ, "UV_CACHE_DIR": str(cache / "uv")}

    def prepare() -> None:
        environments = Environments(cache, variables, overlays=overlays)
        try:
            lay(environments.build(plan, log, lambda _tool: None), home / "layer")
        finally:
            environments.close()

    def gone() -> None:
        for place in (cache / "environments").glob("*"):
            remove_tree(place) if place.is_dir() else place.unlink()

    def bare() -> None:
        tool, place = uv_tool(), home / "bare"
        (home / "lock").write_text(plan.lock or "")
        for argv in (
            [tool, "venv", "--quiet", "--python", plan.python, str(place)],
            [
                *(tool, "pip", "install", "--quiet", "--python", str(place / "bin" / "python")),
                *("--require-hashes", "--no-deps", "-r", str(home / "lock")),
            ],
        ):
            subprocess.run(argv, check=True, env=variables)

    first = _took(prepare)
    hits, misses, alone = [], [], []
    for _ in range(rounds):
        hits.append(_took(prepare))
        gone()
        misses.append(_took(prepare))
        alone.append(_took(bare))
        remove_tree(home / "bare")
    return {
        "first_ms": round(first, 1),
        "hit_ms": round(statistics.median(hits), 1),
        "hit_worst_ms": round(max(hits), 1),
        "miss_ms": round(statistics.median(misses), 1),
        "miss_worst_ms": round(max(misses), 1),
        "uv_alone_ms": round(statistics.median(alone), 1),
    }


def _took(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
