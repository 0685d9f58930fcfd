"""Two servers of two homes on one PostgreSQL, asked by turns while both live."""

from __future__ import annotations

import subprocess
from itertools import count
from pathlib import Path
from typing import Any

from mayfly.testing.embedded import Embedded

_OF_BOTH = ("MAYFLY_KILL_", "CONTAINERS_")
"""Variables that are set later: where it dies, and where its container engine has its images."""


class Pair(Embedded):
    """The state is the first one's home. What died is started again only when nothing is left, or (`restarts`) at once."""

    def __init__(self, place: Path, database: str, restarts: bool = False) -> None:
        super().__init__(place, database)
        self.other = Embedded(place / "other", beside=self)
        self._restarts = restarts
        self._members: tuple[Embedded, ...] = (self, self.other)
        self._turns = count()

    def start(self, *options: str, **environ: str) -> int:
        """Both, one after the other; the first one alone once the other is finished."""
        self.other.environ |= {name: self.environ[name] for name in self.environ if name.startswith(_OF_BOTH)}
        self.other.environ |= {"MAYFLY_IDLE_SECONDS": self.environ.get("MAYFLY_IDLE_SECONDS", "120")}
        pid = super().start(*options, **environ)
        for one in self._members[1:]:
            one.start(*options, **environ)
        return pid

    def heal(self) -> int:
        if self._restarts or not self.servers():
            dead = [one for one in self._members if one.server is not None and one.server.poll() is not None]
            for one in dead:
                Embedded.start(one)
            return len(dead)
        return 0

    @property
    def record(self) -> dict[str, Any]:
        return self._asked().own_record

    @property
    def up(self) -> bool:
        return bool(self._living())

    def servers(self) -> list[int]:
        return [*super().servers(), *self.other.servers()]

    def begin(self, *args: str, cwd: Path | None = None, **environ: str) -> subprocess.Popen[str]:
        return super().begin(*args, cwd=cwd, **{"MAYFLY_HOME": str(self._asked().folder), **environ})

    def processes(self) -> list[int]:
        return sorted({*super().processes(), *self.other.processes()})

    def all_logs(self) -> str:
        return super().all_logs() + self.other.all_logs()

    def finish(self) -> None:
        self.other.finish()
        self._members = (self,)
        super().finish()

    def _living(self) -> list[Embedded]:
        return [one for one in self._members if one.own_up]

    def _asked(self) -> Embedded:
        living = self._living() or [self]
        return living[next(self._turns) % len(living)]
