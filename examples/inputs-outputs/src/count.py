"""Count the words of every text: one table for each, and a summary of all."""

import argparse
import re
from collections import Counter
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("texts", "stop-words", "counts", "summary"):
    parser.add_argument(f"--{name}", type=Path, required=True)
parser.add_argument("--most", type=int, required=True)
arguments = parser.parse_args()

ignored = set(arguments.stop_words.read_text(encoding="utf-8").split())
total: Counter[str] = Counter()
for text in sorted(arguments.texts.glob("*.txt")):
    words = [word for word in re.findall(r"[a-z]+", text.read_text(encoding="utf-8").lower()) if word not in ignored]
    counts = Counter(words)
    total += counts
    table = arguments.counts / f"{text.stem}.csv"
    table.write_text("".join(f"{word},{count}\n" for word, count in counts.most_common()), encoding="utf-8")
    print(f"{text.name}: {len(words)} words")

summary = "".join(f"{word}: {count}\n" for word, count in total.most_common(arguments.most))
arguments.summary.write_text(summary, encoding="utf-8")
Path("outputs/summary.txt").write_text(summary, encoding="utf-8")
print(summary, end="")
