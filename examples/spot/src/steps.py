"""Work that can be taken up where it was left."""

import argparse
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--checkpoint", type=Path, required=True)
arguments = parser.parse_args()

saved = arguments.checkpoint / "step.txt"
first = int(saved.read_text()) if saved.exists() else 0
print(f"starting at step {first} of {arguments.steps}", flush=True)
for step in range(first, arguments.steps):
    time.sleep(0.1)
    part = saved.with_suffix(".part")
    part.write_text(str(step + 1))
    part.replace(saved)
print("done")
