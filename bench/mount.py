"""What streaming a remote file costs beside copying it through the same door: bytes moved and time until a job has read the
first megabyte, and megabytes a second for the whole. Real node, real FUSE; the server is a script on loopback.

    python bench/mount.py [--mb 512] [--gb 10]

Prints JSON. Reach: the first megabyte of 10 GB moves less than 50 MB and is there in less than 1 s.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from mayfly.testing.agentserver import Outside
from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire

_READ = (
    'python3 -c \'import sys, time; b = time.time(); f = open(sys.argv[1], "rb"); n = 0\n'
    "while (d := f.read(1 << 20)) and n < int(sys.argv[2]): n += len(d)\n"
    "print(time.time() - b, n)' ${{inputs.d}} %d"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=512)
    parser.add_argument("--gb", type=int, default=10)
    told = parser.parse_args()
    size = told.mb << 20
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        nodes = Nodes(Path(name) / "state")
        try:
            node = nodes.start()
            nodes.server.wait(lambda: nodes.server.hellos)
            first = _run(nodes, node, "first", "ro_mount", told.gb << 30, 1 << 20)
            whole = _run(nodes, node, "whole", "ro_mount", size, size)
            copied = _run(nodes, node, "copied", "download", size, size)
        finally:
            nodes.close()
    print(
        json.dumps(
            {
                "question": "streaming beside copying, through the same door",
                "first_megabyte": {"of_gb": told.gb, **first},
                "streamed": {"mb": told.mb, **whole, "mb_per_s": round(told.mb / whole["read_s"], 1)},
                "copied": {"mb": told.mb, **copied, "mb_per_s": round(told.mb / copied["prepare_s"], 1)},
                "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
            },
            indent=1,
        )
    )


def _run(nodes: Nodes, node: str, job: str, mode: str, size: int, read: int) -> dict[str, float]:
    """`prepare_s`: from the assignment until the job may start; `read_s`: from its open to the last byte it wanted."""
    outside = nodes.server.data["d"] = Outside({"f": size}, version=job)
    data = wire.DataInput(name="d", address="https://host/d", mode=mode, is_file=True)
    begin = time.monotonic()
    nodes.server.assign(node, assignment(job, _READ % read, inputs=(data,)))
    nodes.server.fact(wire.Ready, job, timeout_s=120)
    prepared = time.monotonic() - begin
    nodes.server.fact(wire.Collected, job, timeout_s=120)
    seconds, _ = nodes.server.log(job).split()
    nodes.server.discard(job)
    nodes.server.fact(wire.Released, job)
    return {"prepare_s": round(prepared, 3), "read_s": round(float(seconds), 3), "moved_mb": outside.moved >> 20}


if __name__ == "__main__":
    main()
