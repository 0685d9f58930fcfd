"""What the command line costs: `mayfly --help`, and `mayfly job list` on a warm server. Beside them, in turns within one
run, `python -c pass` by the same interpreter.

    python bench/command.py [--rounds 15]

Prints JSON; milliseconds. Reach: 150 ms and 250 ms more than the interpreter alone.
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
from pathlib import Path

from mayfly.testing.embedded import Embedded

COMMANDS = {
    "pass": ["-c", "pass"],
    "help": ["-m", "mayfly.main.cli", "--help"],
    "job_list": ["-m", "mayfly.main.cli", "job", "list"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        server = Embedded(Path(name))
        server.start()
        try:
            found: dict[str, list[float]] = {kind: [] for kind in COMMANDS}
            for number in range(rounds + 1):
                for kind, arguments in COMMANDS.items():
                    begin = time.perf_counter()
                    subprocess.run(
                        [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=server.environ
                    )
                    if number:  # the first brings files into memory
                        found[kind].append((time.perf_counter() - begin) * 1e3)
            print(json.dumps(_result(found), indent=1))
        finally:
            server.finish()


def _result(found: dict[str, list[float]]) -> dict[str, object]:
    alone = statistics.median(found["pass"])
    return {
        "question": "what a command costs",
        "milliseconds": {
            kind: {"min": round(min(values), 1), "median": round(statistics.median(values), 1)}
            for kind, values in found.items()
        },
        "beyond_pass": {kind: round(statistics.median(values) - alone, 1) for kind, values in found.items()},
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
    }


if __name__ == "__main__":
    main()
