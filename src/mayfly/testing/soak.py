"""Everything that tries to break the promises, for as long as one likes: `scripts/soak`.

Each part draws what it does from the seed, says how it goes on, and returns a story for each promise that it broke."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

import structlog

from mayfly.testing import deaths
from mayfly.testing.callers import called
from mayfly.testing.chance import VARIABLE
from mayfly.testing.databases import HOUSE_VARIABLE
from mayfly.testing.histories.hunt import Story, hunt
from mayfly.testing.histories.rows import RowServer
from mayfly.testing.histories.stored import StoredServer
from mayfly.testing.lives import LIVES

WORLD = ("tests/services", *(f"tests/end_to_end/test_{name}.py" for name in ("faults", "world", "wild", "many")))


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


def _stored_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stored", type=int, default=200, metavar="M", help="histories of the services to play (200)")


def played(first: int, count: int) -> Story | None:
    """The story of the first of these seeds that breaks a promise, told by the pure rules."""
    return hunt(range(first, first + count), RowServer)


def played_over_a_store(first: int, count: int) -> Story | None:
    """As `played`, by the services; what they log of each trouble is let go."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    return hunt(range(first, first + count), StoredServer)


def _histories(options: argparse.Namespace) -> list[str]:
    return _play(options, "histories", options.histories, 500, played)


def _stored(options: argparse.Namespace) -> list[str]:
    return _play(options, "stored", options.stored, 10, played_over_a_store)


def _play(
    options: argparse.Namespace, part: str, count: int, at_once: int, play: Callable[[int, int], Story | None]
) -> list[str]:
    say(f"{part}: {count} from seed {options.seed} …")
    stories, done = [], 0
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        begun = [
            pool.submit(play, options.seed + start, min(at_once, count - start)) for start in range(0, count, at_once)
        ]
        for future in as_completed(begun):
            story, done = future.result(), done + 1
            if story is not None:
                stories.append(f"{story}\n  Again: scripts/soak {part} --seed {story.seed} --{part} 1")
                say(stories[-1])
            elif done % 40 == 0:
                say(f"  {done * at_once} played")
    return stories


# --- calls ------------------------------------------------------------------------------------------------------------


def _call_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=float, default=60, metavar="S", help="how long clients call at once (60 s)")


def _calls(options: argparse.Namespace) -> list[str]:
    stories, houses = [], _houses(options)
    for house in houses:
        say(f"calls: for {options.calls / len(houses):g} s in {house} from seed {options.seed} …")
        count, found = called(options.seed, options.calls / len(houses), house)
        say(f"  {count} calls")
        stories += _told(found)
    return stories


# --- deaths -----------------------------------------------------------------------------------------------------------


def _kill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kills", type=int, default=60, metavar="M", help="deaths at kill points to go through (60); 0: all there are"
    )
    parser.add_argument("--life", action="append", choices=sorted(LIVES), help="only this one; may be given again")
    parser.add_argument(
        "--house",
        action="append",
        choices=deaths.HOUSES,
        help="what dies, also in storms; what is called and what the world fails; may be given again (all there can be here)",
    )


def _houses(options: argparse.Namespace) -> Sequence[str]:
    return options.house or deaths.possible()


def _kills(options: argparse.Namespace) -> list[str]:
    stories, houses = [], _houses(options)
    for house in houses:
        count = -(-options.kills // len(houses))
        say(f"kills: {count or 'all'} in {house} from seed {options.seed} …")
        with deaths.building(house) as build:
            lives = deaths.FOR_TWO if house == "two servers" else ()
            stories += deaths.kills(options.seed, count, say, build, options.life or lives)
    return stories


def _storm_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--storms", type=int, default=200, metavar="N", help="jobs to send through a storm (200)")


def _storms(options: argparse.Namespace) -> list[str]:
    stories, houses = [], _houses(options)
    for house in houses:
        count = -(-options.storms // len(houses))
        say(f"storms: {count} jobs in {house} from seed {options.seed} …")
        with deaths.building(house, restarts=True) as build:
            stories += deaths.storms(options.seed, count, say, build)
    return _told(stories)


# --- an earlier version -----------------------------------------------------------------------------------------------


def _upgrade_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="earlier", default="HEAD~1", metavar="REV", help="the version that goes before (HEAD~1)"
    )


def _upgrade(options: argparse.Namespace) -> list[str]:
    say(f"upgrade: from {options.earlier} …")
    return _told(deaths.upgrade(options.earlier, say))


def _world_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--world", default="", metavar="K", help="only the tests whose names have these words")


def _world(options: argparse.Namespace) -> list[str]:
    """The tests of which CI draws some, all of them and at their full size."""
    return [story for house in _houses(options) if house != "two servers" for story in _world_in(house, options)]


def _world_in(house: str, options: argparse.Namespace) -> list[str]:
    say(f"world: all of {', '.join(WORLD)}, in {house} …")
    chosen = ["-k", options.world] if options.world else []
    pytest = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n0", "-v", "-rN", "--tb=short", *WORLD, *chosen],
        env={**os.environ, "MAYFLY_ALL": "1", HOUSE_VARIABLE: house, VARIABLE: str(options.seed)},
        stdout=subprocess.PIPE,
        text=True,
    )
    told: list[str] = []
    for line in pytest.stdout or ():
        told.append(line)
        if "::" in line:
            say(f"  {line.rstrip()}")
    return _told(["".join(told)] if pytest.wait() else [])


def _told(stories: list[str]) -> list[str]:
    for one in stories:
        say(one)
    return stories


PARTS = (
    Part("histories", _history_options, _histories),
    Part("stored", _stored_options, _stored),
    Part("calls", _call_options, _calls),
    Part("kills", _kill_options, _kills),
    Part("storms", _storm_options, _storms),
    Part("upgrade", _upgrade_options, _upgrade),
    Part("world", _world_options, _world),
)


def main(arguments: Sequence[str] | None = None) -> int:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(names)}; all of them when none is named")
    parser.add_argument("--seed", type=int, help="where everything is drawn from; a random one, which is printed")
    parser.add_argument(
        "--minutes", type=float, default=0, metavar="T", help="begin again, each time with another seed"
    )
    for part in PARTS:
        part.options(parser)
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(names):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if options.seed is None:
        options.seed = secrets.randbelow(1 << 31)
    broken, began, first = [], time.monotonic(), options.seed
    while True:
        for part in PARTS:
            if not options.parts or part.name in options.parts:
                broken += part.run(options)
        took = time.monotonic() - began
        if took >= options.minutes * 60:
            break
        options.seed += 1_000_003
    say(f"Seed {first}, {took:.0f} s: " + (f"{len(broken)} promises broken." if broken else "every promise held."))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
