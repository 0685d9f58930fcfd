"""Write a letter, and say where it went."""

import argparse
import os
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("greeting")
parser.add_argument("--times", type=int, required=True)
parser.add_argument(
    "--politely", choices=["True", "False"], required=True, help="literal inputs come as Python writes them"
)
parser.add_argument("--to", type=Path, required=True)
arguments = parser.parse_args()

words = " ".join([arguments.greeting] * arguments.times)
if arguments.politely == "True":
    words = f"Dear world, {words}"
letter = arguments.to / "letter.txt"
letter.write_text(f"{words}\n{os.environ['SIGNED_BY']}\n", encoding="utf-8")
print(letter.read_text(encoding="utf-8"), end="")
print(f"written to {letter}")
