"""Another version of Mayfly takes over: what an earlier one began goes on under the present code, its store, its folders, its
agents and their jobs. The earlier one is a commit of this repository."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from mayfly.testing.embedded import HELLO, Embedded, counting, numbered
from mayfly.testing.nodes import kill, until

SOURCE = Path(__file__).resolve().parents[2]


def earlier(revision: str, to: Path) -> str:
    """Lay the source of that commit into `to`; its whole name, '' where there is none: a checkout may have no history."""
    found = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    files = _git("archive", "--format=tar", revision, "src") if found else b""
    if not files:
        return ""
    with tarfile.open(fileobj=BytesIO(files)) as archive:
        archive.extractall(to, filter="data")
    return found.decode().strip()


class Installed:
    """What is installed, as far as the processes of `one` can see: their code is changed under them, as pip does it."""

    def __init__(self, one: Embedded) -> None:
        self._link = one.place / "installed"
        one.environ["PYTHONPATH"] = str(self._link)

    def is_now(self, source: Path) -> None:
        fresh = self._link.with_name("installing")
        fresh.symlink_to(source)
        fresh.replace(self._link)


def upgraded(one: Embedded, source: Path) -> None:
    """Go through the change from the code at `source` to the present. Raises AssertionError for what did not survive it."""
    one.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "MAYFLY_IDLE_SECONDS": "2"}
    installed = Installed(one)
    installed.is_now(source)
    one.start()
    one.post({**HELLO, "name": "ended", "command": "echo hello; echo kept > outputs/model"})
    one.wait("ended", "Completed")
    for name in ("goes-on", "is-adopted"):
        one.post({**counting(80), "name": name, "resources": {"instance_type": "local_1"}})
    one.wait_log("goes-on", "line 2\n")
    one.post({**HELLO, "name": "waits"})
    old = {node: one.agent(node) for node in one.nodes()}

    installed.is_now(SOURCE)
    one.kill_server()
    one.start()
    for node, agent in list(old.items())[:1]:
        kill(agent)
        until(lambda node=node, agent=agent: one.agent(node) not in (0, agent))
    for name in ("goes-on", "is-adopted"):
        job = one.wait(name, "Completed")
        assert (job["attempt"], job["exit_codes"]) == (1, [0]), job
        assert one.log(name) == numbered(80)
    one.wait("waits", "Completed")
    assert one.log("ended") == "hello\n"
    one.post({**HELLO, "name": "new"})
    one.wait("new", "Completed")
    until(lambda: not one.nodes(), 60)
    until(lambda: not one.problems())


def _git(*words: str) -> bytes:
    """What it said; nothing where it failed or is not there."""
    try:
        return subprocess.run(["git", "-C", str(SOURCE.parent), *words], capture_output=True).stdout
    except FileNotFoundError:
        return b""
