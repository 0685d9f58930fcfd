"""How often each word of a letter occurs, as JSON."""

import argparse
import json
import re
from collections import Counter
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--letter", type=Path, required=True)
parser.add_argument("--least-length", type=int, required=True)
parser.add_argument("--counts", type=Path, required=True)
given = parser.parse_args()

words = re.findall(r"[a-z]+", given.letter.read_text().lower())
counts = Counter(word for word in words if len(word) >= given.least_length)
given.counts.write_text(json.dumps(counts))
print(f"{given.letter.name}: {sum(counts.values())} words, {len(counts)} different ones")
