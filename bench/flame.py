"""Where does the processor's time go from `POST job` to the job's own first line? A picture of the server's and the nodes' functions,
looked at two hundred times a second while starts go on, and not while jobs end.

    python bench/flame.py docs/pictures/start.svg [--jobs 40]

Needs py-spy (a tool of its own, not one of Mayfly's packages) on PATH. Who waits is not in the picture, only who computes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from mayfly.testing.embedded import HELLO, WORKSPACE, Embedded
from mayfly.transfer.http import Session

RATE = 200
LINE = {**HELLO, "command": "echo begun; sleep 0.4"}
IDLE_S = 0.5
"""A tool that was stopped catches up with its looks when it goes on: nothing happens meanwhile."""
WIDTH, ROW = 1200, 17
LEAST = 0.004
"""Of the whole: what is narrower is left out."""
_FRAME = re.compile(r"^(.*) \((.*?)(?::\d+)?\)$")
_OURS = "mayfly/"


@dataclass
class Frame:
    name: str
    count: int = 0
    below: dict[str, Frame] = field(default_factory=dict)

    def add(self, names: Iterable[str], count: int) -> None:
        at = self
        at.count += count
        for name in names:
            at = at.below.setdefault(name, Frame(name))
            at.count += count


class Looker:
    """py-spy at one process, which looks only while it is told to."""

    def __init__(self, pid: int, kind: str, folder: Path) -> None:
        self.kind = kind
        self._file = folder / f"{pid}.raw"
        command = ["py-spy", "record", "--pid", str(pid), "--rate", str(RATE), "--format", "raw", "--gil"]
        command += ["--nonblocking", "--duration", "3600", "--output", str(self._file)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def look(self, whether: bool) -> None:
        self._process.send_signal(signal.SIGCONT if whether else signal.SIGSTOP)

    def stacks(self) -> list[tuple[list[str], int]]:
        self.look(True)
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [(stack.split(";"), int(count)) for stack, _, count in (line.rpartition(" ") for line in lines)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--jobs", type=int, default=40)
    options = parser.parse_args()
    if shutil.which("py-spy") is None:
        raise SystemExit("py-spy is not on PATH. Install it beside Mayfly: uv tool install py-spy.")
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as name:
        server = Embedded(Path(name))
        server.start()
        try:
            whole = _watched(server, options.jobs)
        finally:
            server.finish()
    options.picture.write_text(picture(whole, options.jobs), encoding="utf-8")


def _watched(server: Embedded, jobs: int) -> Frame:
    session = Session(server.record["url"], (server.folder / "token").read_text().strip())
    for _ in range(2):
        _start(session)
    lookers = [Looker(pid, kind, server.place) for pid, kind in _processes(server)]
    time.sleep(2)  # until they have found what to look at
    for number in range(jobs + 1):
        _start(session, lookers if number else [])
    whole = Frame("all")
    for looker in lookers:
        for stack, count in looker.stacks():
            whole.add([looker.kind, *_told(stack)], count)
    return whole


def _processes(server: Embedded) -> list[tuple[int, str]]:
    """The server and the agents of its nodes."""
    found = [(server.record["pid"], "server")]
    for place in (server.folder / "nodes").iterdir():
        pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and _is_agent(one, place)]
        found += [(max(pids), "node")] if pids else []  # the other one is its watchdog
    return found


def _is_agent(process: Path, place: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return "mayfly.main.node" in words and place.name in words


def _start(session: Session, lookers: Iterable[Looker] = ()) -> None:
    for looker in lookers:
        looker.look(True)
    time.sleep(IDLE_S)
    view: dict[str, Any] = session.post(f"{WORKSPACE}/jobs", {"definition": LINE})
    for event, data in session.events(f"{WORKSPACE}/jobs/{view['name']}/stream"):
        if event == "log" and "begun" in data["text"]:
            for looker in lookers:
                looker.look(False)
    time.sleep(IDLE_S)


def _told(stack: list[str]) -> list[str]:
    """From the first function of ours on, by its name and module; what others call below stays, without what merely carries."""
    told = []
    for one in stack:
        found = _FRAME.match(one)
        if found is None:
            continue
        name, file = found[1], "/".join(Path(found[2]).parts[-2:])
        if told or _OURS in found[2] or "uvicorn" in found[2] or "sqlalchemy" in found[2]:
            label = f"{name.replace('.<locals>', '')} ({file.removesuffix('.py')})"
            if not told or told[-1] != label:
                told.append(label)
    return told or ["the interpreter's own"]


def picture(whole: Frame, jobs: int) -> str:
    """As SVG, without a script: the widest first, the share and the name of each in its title."""
    boxes: list[str] = []
    depth = _draw(whole, 0.0, 0, whole.count, boxes)
    height = (depth + 1) * ROW + 24
    said = (
        f"Submit to start: functions that compute, of the server and its nodes, over {jobs} starts; {whole.count} looks"
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="4" y="15" font-size="13">{escape(said)}</text>'
    )
    return "\n".join([head, *boxes, "</svg>", ""])


def _draw(frame: Frame, left: float, level: int, whole: int, boxes: list[str]) -> int:
    """Its box and those below; how deep they go."""
    share = frame.count / whole
    width, top = share * WIDTH, 22 + level * ROW
    ours = "mayfly" in frame.name or "(" not in frame.name or frame.name.split("(")[1].split("/")[0] in _FLOORS
    colour = "#f2b661" if ours else "#c9d6e3"
    title = escape(f"{frame.name}: {share:.1%}")
    text = ""
    room = int(width / 6.2)
    if room > 4:
        shown = frame.name if len(frame.name) <= room else frame.name[: room - 1] + "…"
        text = f'<text x="{left + 2:.1f}" y="{top + 12}">{escape(shown)}</text>'
    boxes.append(
        f'<g><title>{title}</title><rect x="{left:.1f}" y="{top}" width="{max(width - 0.5, 0.5):.1f}" '
        f'height="{ROW - 1}" fill="{colour}"/>{text}</g>'
    )
    deepest = level
    for below in sorted(frame.below.values(), key=lambda one: -one.count):
        if below.count / whole >= LEAST:
            deepest = max(deepest, _draw(below, left, level + 1, whole, boxes))
            left += below.count / whole * WIDTH
    return deepest


_FLOORS = (
    "kit",
    "spec",
    "domain",
    "ports",
    "wire",
    "transfer",
    "store",
    "drivers",
    "services",
    "node",
    "api",
    "engine",
    "main",
)


if __name__ == "__main__":
    main()
