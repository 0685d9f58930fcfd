"""What this machine can give to jobs, found by trying it: for whoever asks before there is a node (`mayfly doctor`)."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mayfly.node import limits, mounts, sandbox


def found(folder: Path) -> dict[str, object]:
    """`isolation`, `separate_user`, `overlay`; `limits` (controllers that can be set); `mounts` (why remote data cannot be
    streamed, '' when it can). Works in a scratch folder below `folder`, and leaves nothing."""
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=folder) as scratch:
        strategy = sandbox.probe(cache=Path(scratch))
    return {
        "isolation": strategy.name,
        "separate_user": strategy.separate_user,
        "overlay": strategy.overlays,
        "limits": list(limits.probe().holding),
        "mounts": mounts.missing(),
    }


def main(folder: Path) -> int:
    """`found`, as JSON on standard output."""
    sys.stdout.write(json.dumps(found(folder)))
    return 0
