"""What every command is given: where it prints, which workspace is meant, and the doors of a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mayfly.cli.show import Screen
from mayfly.client import connecting
from mayfly.client.connecting import Settings
from mayfly.client.doors import Doors, Place
from mayfly.kit.clock import Clock
from mayfly.kit.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one command."""

    screen: Screen
    settings: Settings
    place: Place
    environ: Mapping[str, str]
    clock: Clock
    new_name: Callable[[], str]
    """Makes up a job's name. A command that sends one may send it again when the answer was lost."""

    def doors(self) -> Doors:
        """Of a server that answers; the embedded one is started when it is down (`client.connecting.connect`)."""
        return connecting.connect(self.settings, self.place, self.clock, self.screen.note)

    def doors_again(self) -> Doors:
        """After a break. A server that was stopped on purpose is waited for, one that died is started again.
        Raises Unavailable while there is none."""
        if connecting.was_stopped(self.settings):
            raise Unavailable("ServerStopped", "The server was stopped; `mayfly up --detach` brings it back.")
        return self.doors()

    def running_doors(self) -> Doors:
        """Starts nothing. Raises Unavailable `ServerNotRunning`."""
        return connecting.running(self.settings, self.place)
