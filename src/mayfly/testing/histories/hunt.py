"""Seeds are played until one breaks a promise; that one is told as a story with nothing in it that is not needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mayfly.testing.histories.moves import Move, drawn
from mayfly.testing.histories.promises import Broken
from mayfly.testing.histories.stage import ServerMaker, Stage


@dataclass(frozen=True, slots=True)
class Story:
    """A history that breaks a promise, as short as it was found."""

    seed: int
    moves: tuple[Move, ...]
    broken: str

    def __str__(self) -> str:
        told = "\n".join(f"  {number}. {move}" for number, move in enumerate(self.moves, 1))
        return f"seed {self.seed}: {self.broken}\n{told}\n  then no more trouble."


def broken_by(moves: Sequence[Move], make: ServerMaker) -> str | None:
    """The promise that a history breaks; None when all hold."""
    stage = Stage(make)
    try:
        stage.play(moves)
    except Broken as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a server falls over is told in the same way
        return f"{type(error).__name__}: {error}"
    finally:
        stage.server.close()
    return None


def hunt(seeds: Iterable[int], make: ServerMaker) -> Story | None:
    """The story of the first seed that breaks a promise."""
    for seed in seeds:
        moves = drawn(seed)
        if broken_by(moves, make) is not None:
            return story(seed, moves, make)
    return None


def story(seed: int, moves: Sequence[Move], make: ServerMaker) -> Story:
    """Leave out what is not needed for a promise to break, in halves first, then one by one, until nothing can go."""
    left = list(moves)
    size = len(left) // 2
    while size:
        at, fewer = 0, False
        while at < len(left):
            without = left[:at] + left[at + size :]
            if broken_by(without, make) is not None:
                left, fewer = without, True
            else:
                at += size
        size = size if fewer and size == 1 else size // 2
    return Story(seed, tuple(left), broken_by(left, make) or "")
