"""The words that two letters share, the most frequent first."""

import argparse
import json
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--one", type=Path, required=True)
parser.add_argument("--other", type=Path, required=True)
parser.add_argument("--report", type=Path, required=True)
given = parser.parse_args()

one, other = (json.loads(path.read_text()) for path in (given.one, given.other))
shared = sorted(one.keys() & other.keys(), key=lambda word: (-one[word] - other[word], word))
given.report.write_text("".join(f"{word}: {one[word]} + {other[word]}\n" for word in shared))
print(f"{len(shared)} words are in both letters")
