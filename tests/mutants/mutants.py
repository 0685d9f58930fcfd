"""Takes one guard after the other out of a copy of the tree, and demands that its tests notice.

scripts/mutants                 all of them
scripts/mutants fence "a log's gap"     those of a promise, or by name
scripts/mutants --random 2 --seed 7     some of them"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from mutant_table import MUTANTS, PROMISES, Mutant

ROOT = Path(__file__).parents[2]
_COPIED = ("src", "tests", "public", "pyproject.toml", "README.md", "LICENSE")
_LIMIT_S = 300
BEGIN, END = "<!-- begin: scripts/mutants --table -->", "<!-- end -->"


def changed(mutant: Mutant, text: str) -> str:
    """The file without the guard. Raises ValueError where what is replaced is not there exactly once."""
    times = text.count(mutant.find) if mutant.find else 0
    if times != 1:
        raise ValueError(f"'{mutant.name}': what it replaces stands {times} times in {mutant.file}")
    return text.replace(mutant.find, mutant.replace)


def judge(mutant: Mutant) -> list[str]:
    """Why the mutant is not caught, a sentence each; none when every test of its own has failed."""
    with tempfile.TemporaryDirectory(prefix="mayfly-mutant-") as folder:
        copy = Path(folder)
        for name in _COPIED:
            whole = ROOT / name
            if whole.is_dir():
                shutil.copytree(whole, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(whole, copy / name)
        file = copy / mutant.file
        file.write_text(changed(mutant, file.read_text()))
        return [why for test in mutant.tests if (why := _survives(copy, test))]


def _survives(copy: Path, test: str) -> str:
    """Empty when the test fails, as it should."""
    report = copy / "report.xml"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n0",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        test,
    ]
    environment = {**os.environ, "PYTHONPATH": f"{copy / 'src'}", "PYTHONDONTWRITEBYTECODE": "1", "MAYFLY_SEED": "1"}
    try:
        done = subprocess.run(
            [*command, f"--junitxml={report}", test],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return ""  # what it guards against is waiting for ever: that is noticed too
    cases = ET.parse(report).getroot().iter("testcase") if report.exists() else []
    if any(case.find("failure") is not None or case.find("error") is not None for case in cases):
        return ""
    words = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no answer"]
    return f"{test} did not fail ({words[0]})"


def chosen(names: list[str]) -> list[Mutant]:
    """Those of a promise or of a name; all when none is given. Raises ValueError for an unknown one."""
    known = {mutant.name for mutant in MUTANTS} | set(PROMISES)
    if unknown := set(names) - known:
        raise ValueError(f"There is no mutant and no promise {', '.join(sorted(unknown))}.")
    return [one for one in MUTANTS if not names or {one.name, one.promise} & set(names)]


def table() -> str:
    """The middle of docs/reliability.md."""
    lines = []
    for key, promise in PROMISES.items():
        lines += [f"### {promise.title} (`{key}`)", "", promise.says, "", f"*How:* {promise.kept_by}", ""]
        lines += ["| without this guard | these tests fail |", "|---|---|"]
        for mutant in MUTANTS:
            if mutant.promise == key:
                tests = ", ".join(f"`{test.removeprefix('tests/')}`" for test in mutant.tests)
                lines.append(f"| {mutant.name} (`{mutant.file.removeprefix('src/mayfly/')}`) | {tests} |")
        lines.append("")
    return "\n".join(lines)


def write_table() -> None:
    """Into docs/reliability.md, between its marks."""
    page = ROOT / "docs" / "reliability.md"
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{table()}\n{END}{rest.partition(END)[2]}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a promise's key or a mutant's name")
    parser.add_argument("--random", type=int, metavar="N", help="only so many of them, drawn from the seed")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    parser.add_argument("--table", action="store_true", help="write the table of docs/reliability.md, try nothing")
    options = parser.parse_args()
    if options.table:
        write_table()
        return 0
    try:
        mutants = chosen(options.names)
    except ValueError as error:
        parser.error(str(error))
    if options.random is not None:
        mutants = random.Random(options.seed).sample(mutants, min(options.random, len(mutants)))
        sys.stdout.write(f"Seed {options.seed}.\n")
    alive = 0
    for mutant in mutants:
        began = time.monotonic()
        why = judge(mutant)
        alive += bool(why)
        verdict = "NOT CAUGHT: " + "; ".join(why) if why else "caught"
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {mutant.promise}: {mutant.name}: {verdict}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(mutants) - alive} of {len(mutants)} mutants caught.\n")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
