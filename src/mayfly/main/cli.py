"""The command `mayfly`: hands the environment, a clock and a maker of names to the command line. Help is printed without loading it."""

from __future__ import annotations

import os
import sys

from mayfly import __version__
from mayfly.cli.catalogue import root_help


def main() -> int:
    args = sys.argv[1:]
    plain = args[1:] if args[:1] == ["ml"] else args
    if "_MAYFLY_COMPLETE" not in os.environ:
        if plain in ([], ["-h"], ["--help"], ["help"]):
            print(root_help())  # noqa: T201
            return 0
        if plain == ["--version"]:
            print(f"mayfly {__version__}")  # noqa: T201
            return 0
    return _command_line(args)


def _command_line(args: list[str]) -> int:
    # The command loader's one exception: everything else is imported only when a command is really run.
    from mayfly.cli import app
    from mayfly.main.making import RandomIds, SteadyClock

    clock = SteadyClock()
    return app.main(args, os.environ, clock, RandomIds(clock).name)


if __name__ == "__main__":
    sys.exit(main())
