"""docs/states.md says what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_state_tables_are_current() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "states-doc"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
