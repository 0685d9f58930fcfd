"""Everything that tries to break the promises, for as long as one likes: `scripts/soak`.

Each part draws what it does from the seed, says how it goes on, and returns a story for each promise that it broke."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from mayfly.testing.histories.hunt import Story, hunt
from mayfly.testing.histories.rows import RowServer

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], list[str]]
    """The stories of what it broke; none when every promise held."""


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


# --- histories --------------------------------------------------------------------------------------------------------


def _history_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--histories", type=int, default=100_000, metavar="M", help="histories of the pure rules to play (100,000)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many processes play them")


def played(first: int, count: int) -> Story | None:
    """The story of the first of these seeds that breaks a promise."""
    return hunt(range(first, first + count), RowServer)


def _histories(options: argparse.Namespace) -> list[str]:
    say(f"{options.histories} histories from seed {options.seed} …")
    stories, done = [], 0
    with ProcessPoolExecutor(options.workers) as pool:
        sizes = [min(_AT_ONCE, options.histories - start) for start in range(0, options.histories, _AT_ONCE)]
        begun = [pool.submit(played, options.seed + _AT_ONCE * n, size) for n, size in enumerate(sizes)]
        for future in as_completed(begun):
            story = future.result()
            done += _AT_ONCE
            if story is not None:
                stories.append(f"{story}\n  Again: scripts/soak histories --seed {story.seed} --histories 1")
                say(stories[-1])
            elif done % 20_000 == 0:
                say(f"  {done} played")
    return stories


PARTS: tuple[Part, ...] = (Part("histories", _history_options, _histories),)


def main(arguments: Sequence[str] | None = None) -> int:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(names)}; all of them when none is named")
    parser.add_argument("--seed", type=int, help="where everything is drawn from; a random one, which is printed")
    for part in PARTS:
        part.options(parser)
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(names):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.seed is None:
        options.seed = secrets.randbelow(1 << 31)
    broken, began = [], time.monotonic()
    for part in PARTS:
        if not options.parts or part.name in options.parts:
            broken += part.run(options)
    took = time.monotonic() - began
    say(
        f"Seed {options.seed}, {took:.0f} s: "
        + (f"{len(broken)} promises broken." if broken else "every promise held.")
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
