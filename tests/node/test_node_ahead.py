"""Starts that are prepared: a job's interpreter has imported its packages before the job was known, and nobody can tell."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mayfly.node import limits, sandbox
from mayfly.testing.nodes import Nodes, alive, assignment, kill, until
from mayfly.testing.wheels import offline, pinned, plan, wheel
from mayfly.wire import agent as wire

NUMPY = """
import os, sys, time, warnings
VERSION = '1.0'
IMPORTED_NS = time.time_ns()
HOME = os.environ['HOME']
HERE = os.getcwd()
DRAWN = os.urandom(8).hex()
with open(os.path.expanduser('~/.numpyrc'), 'a') as file:
    file.write('once ')
open('/tmp/seen', 'a').write('once ')
"""
PANDAS = "import os\nRUN = os.environ.get('AZUREML_RUN_ID', '')\n"
SHOW = """
import json, os, sys, random
import numpy
seen = {
    'argv': sys.argv, 'orig': sys.orig_argv, 'path': sys.path, 'name': __name__, 'file': globals().get('__file__'),
    'spec': str(__spec__ and __spec__.name), 'flags': str(sys.flags), 'executable': sys.executable, 'prefix': sys.prefix,
    'variables': dict(os.environ), 'here': os.getcwd(), 'numpy': {k: v for k, v in vars(numpy).items() if k.isupper()},
    'descriptors': sorted(int(one) for one in os.listdir('/proc/self/fd'))[:-1],
    'signals': open('/proc/self/status').read().split('SigQ')[1].split('CapInh')[0].split('\\n', 1)[1],
    'rights': open('/proc/self/status').read().split('CapInh')[1].split('Cpus')[0],
    'called': open('/proc/self/cmdline').read().replace('\\0', ' ').strip(), 'comm': open('/proc/self/comm').read(),
    'parent': os.getppid(), 'session': os.getsid(0), 'group': os.getpgid(0), 'umask': os.umask(0o022), 'uid': os.getuid(),
    'oom': open('/proc/self/oom_score_adj').read(), 'input': sys.stdin.read(), 'threads': len(os.listdir('/proc/self/task')),
    'modules': sorted(sys.modules), 'main': sorted(vars(sys.modules['__main__'])),
    'home': sorted(os.listdir(os.environ['HOME'])), 'tmp': sorted(os.listdir('/tmp')), 'hash': hash('a'), 'drawn': random.random(),
    'once': open(os.path.expanduser('~/.numpyrc')).read() + open('/tmp/seen').read(),
    'root': sorted(os.listdir('/')), 'old': os.path.exists('/old'), 'folder': sorted(os.listdir('.')),
    'buffered': [sys.stdout.line_buffering, sys.stdout.write_through, sys.stdout.encoding, sys.stdin.encoding],
    'warned': len(__import__('warnings').filters), 'mounts': sorted(
        ' '.join(line.split()[4:6]) for line in open('/proc/self/mountinfo')),
    'site': sorted(one for one in os.listdir(os.path.dirname(numpy.__file__)) if 'mayfly' in one),
}
print(json.dumps(seen))
"""


class Jobs:
    """Of one environment on one node, one after the other."""

    def __init__(self, nodes: Nodes, tmp_path: Path, **settings: str) -> None:
        found = [
            wheel(tmp_path / "wheels", "numpy", "1.0", text=NUMPY),
            wheel(tmp_path / "wheels", "pandas", "1.0", text=PANDAS),
        ]
        self.nodes = nodes
        self.told: dict[str, int] = {}
        """When each was submitted."""
        self.environment = plan(pinned(*found))
        self.node = nodes.start(**offline(tmp_path / "wheels"), **settings)

    def run(self, name: str, command: str, files: dict[str, str], **changes: Any) -> wire.Started:
        self.begin(name, command, files, **changes)
        started = self.nodes.server.fact(wire.Started, name, timeout_s=40)
        self.end(name)
        return started

    def begin(self, name: str, command: str, files: dict[str, str], **changes: Any) -> None:
        code = self.nodes.server.add_tree({path: text.encode() for path, text in files.items()})
        parts = {"code": code, "environment": self.environment, **changes}
        self.told[name] = time.time_ns()
        self.nodes.server.assign(self.node, assignment(name, command, **parts))

    def end(self, name: str) -> wire.Exited:
        exited = self.nodes.server.fact(wire.Exited, name, timeout_s=40)
        self.nodes.server.fact(wire.Collected, name)
        self.nodes.server.discard(name)
        self.nodes.server.fact(wire.Released, name)
        return exited

    def warm(self, kind: str, command: str, files: dict[str, str]) -> list[str]:
        """Two jobs of a kind have run, and what was prepared waits for the third; their names."""
        names = [f"{kind}-{word}" for word in ("first", "second", "third")]
        for name in names[:2]:
            self.run(name, command, files)
        self.wait()
        return names

    def wait(self) -> int:
        """The interpreter that is ready, by its number."""
        found = until(lambda: self.ready()[:1])[0]
        time.sleep(0.1)  # its agent hears of it right afterwards, and nobody outside can see when it has
        return found

    def ready(self) -> list[int]:
        return [pid for pid in self.made() if state(pid) == "T"]

    def made(self) -> list[int]:
        mark = f"MAYFLY_PROCESS={self.node}-ahead-".encode()
        return [int(place.name) for place in Path("/proc").glob("[0-9]*") if mark in bytes_of(place / "environ")]

    def marks(self, pid: int) -> str:
        found = bytes_of(Path(f"/proc/{pid}/environ")).split(b"\0")
        return " ".join(one.decode() for one in found if one.startswith(b"MAYFLY_PROCESS="))

    def log(self, name: str) -> str:
        return self.nodes.server.log(name)


def bytes_of(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError:
        return b""


def groups(jobs: Jobs) -> set[str]:
    """Control groups of what was made ahead."""
    return {place.name for root in limits.probe().roots.values() for place in root.glob(f"{jobs.node}-ahead-*")}


def state(pid: int) -> str:
    return (bytes_of(Path(f"/proc/{pid}/stat")).rpartition(b") ")[2][:1]).decode()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    place = tmp_path_factory.mktemp("ahead")
    if not sandbox.probe(cache=place).overlays or sandbox.probe(forbidden=("bubblewrap",)).name != "namespaces":
        pytest.skip("no sandbox of our own, or no overlays, here")
    nodes = Nodes(place / "state")
    yield Jobs(nodes, place)
    nodes.close()


PREPARED = "Its start was prepared: numpy had been imported ahead."
OF_EACH_JOB = ("drawn", "hash")


def described(jobs: Jobs, name: str) -> dict[str, Any]:
    """What a job saw, but for its name and where its home is."""
    text = re.sub(r"/ahead/\w{12}/", f"/attempts/{name}-1/", jobs.log(name))
    found = json.loads(text.replace(name, "JOB"))
    del found["variables"]["AZ_BATCH_MASTER_NODE"]  # a port
    found["mounts"] = sorted(set(found["mounts"]))  # its code is seen at two places
    imported = found["numpy"].pop("IMPORTED_NS")
    return found | {"early": imported < jobs.told[name]} | {"drawn": [found["drawn"], found["numpy"].pop("DRAWN")]}


@pytest.mark.parametrize(
    ("kind", "command", "files"),
    [
        ("script", "python src/show.py --x '1 2' -- -c", {"src/show.py": SHOW, "data.csv": "1"}),
        ("module", "python3 -u -m show 1", {"show.py": SHOW}),
        ("text", f"python -c '{SHOW.replace(chr(39), chr(34))}' a b", {}),
    ],
)
def test_a_prepared_start_is_like_any_other(jobs: Jobs, kind: str, command: str, files: dict[str, str]) -> None:
    _, two, three = jobs.warm(kind, command, files)
    assert jobs.run(three, command, files).note == PREPARED
    plain, prepared = (described(jobs, name) for name in (two, three))
    del plain["uid"], prepared["uid"]
    assert not plain.pop("early") and prepared.pop("early")
    for name in OF_EACH_JOB:
        assert plain.pop(name) != prepared.pop(name), name
    for name in plain:
        assert plain[name] == prepared[name], name


USE = """
import os, random, signal, sys, time
import numpy
place = os.path.expanduser('~/canary'), '/tmp/canary', 'canary', os.path.join(os.path.dirname(numpy.__file__), 'canary.py')
seen = [getattr(numpy, 'CANARY', ''), os.environ.get('CANARY', ''), *filter(os.path.exists, place)]
print(any(seen), os.environ['MLFLOW_TRACKING_TOKEN'], os.environ['HOME'], numpy.DRAWN, random.random(), flush=True)
numpy.CANARY = os.environ['CANARY'] = 'there'
for one in place:
    open(one, 'w').close()
"""
WAIT = """
import numpy
import signal, sys, time
def told(*_):
    print('told', flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, told)
print('up', flush=True)
while sys.argv[1] == 'wait': time.sleep(0.01)
sys.exit(int(sys.argv[1]))
"""


def test_a_job_finds_nothing_of_the_one_before(jobs: Jobs) -> None:
    names = ["use-1", "use-2", "use-3", "use-4"]
    prepared = []
    for name in names:
        prepared.append(jobs.run(name, "python use.py", {"use.py": USE}).note == PREPARED)
        if name != "use-1":
            jobs.wait()
    assert prepared == [False, False, True, True]
    told = [jobs.log(name).split() for name in names]
    assert [one[:2] for one in told] == [["False", f"token-of-{name}-0"] for name in names]
    for different in zip(*(one[2:] for one in told), strict=True):
        assert len(set(different)) == len(names)
    mine = jobs.nodes.folder(jobs.node)
    assert len(list((mine / "ahead").iterdir())) == 1  # that of the one which waits
    assert not list((mine / "attempts").iterdir())


def test_a_prepared_job_ends_as_any_other(jobs: Jobs) -> None:
    files = {"wait.py": WAIT}
    *_, name = jobs.warm("leave", "python wait.py 0", files)
    jobs.begin(name, "python wait.py 42", files)
    assert jobs.nodes.server.fact(wire.Started, name).note == PREPARED
    assert jobs.end(name).exits[0].code == 42
    made = jobs.wait()
    jobs.begin("waits", "python wait.py wait", files)
    started = jobs.nodes.server.fact(wire.Started, "waits")
    assert (started.note, started.pids, started.isolation) == (PREPARED, (made,), "namespaces")
    assert f"{jobs.node}/waits/1/" in jobs.marks(made)
    until(lambda: jobs.log("waits") == "up\n")
    kill(jobs.nodes.agent_pid(jobs.node))  # another takes it up
    group = Path(f"/proc/{made}/cgroup").read_text()
    assert f"/{jobs.node}-ahead-" in group or not limits.probe().roots
    jobs.nodes.server.stop_attempt("waits")
    assert jobs.end("waits").exits[0].code == 7
    assert jobs.log("waits") == "up\ntold\n"
    assert not alive(made)
    left = {place.name for root in limits.probe().roots.values() for place in root.glob(f"{jobs.node}*")}
    assert not [name for name in left if name in group]


def test_where_something_is_odd_a_start_is_as_always(jobs: Jobs) -> None:
    job = {"odd.py": USE}
    jobs.warm("odd", "python odd.py", job)
    made = jobs.wait()

    def note(name: str, command: str = "python odd.py", files: dict[str, str] = job, **changes: Any) -> str:
        said = jobs.run(name, command, files, **changes).note
        assert jobs.log(name).startswith("False "), jobs.log(name)
        return said

    assert note("other", "python other.py", {"other.py": USE}) == ""
    assert not alive(made)  # never beside a job
    assert note("again").endswith("none had been made yet.")
    kill(jobs.wait())
    assert note("killed") == "Its start was not prepared: what was prepared had ended."
    jobs.wait()
    beside = note("beside", files={**job, "random.py": "def random(): return 4"})
    assert beside == "Its start was not prepared: a file beside its script is called as a module is: random."
    asks = {"asks.py": "import pandas\n" + USE}
    note("asks-1", "python asks.py", asks)
    note("asks-2", "python asks.py", asks)
    jobs.wait()
    said = note("asks-3", "python asks.py", asks)
    assert said == "Its start was not prepared: an import looks at AZUREML_RUN_ID, which each job has of its own."


@pytest.mark.fault
def test_what_was_prepared_may_die_at_any_time(jobs: Jobs) -> None:
    server, job = jobs.nodes.server, {"die.py": USE}
    *_, name = jobs.warm("die", "python die.py", job)
    server.granting = False
    made = jobs.wait()
    jobs.begin(name, "python die.py", job)
    server.fact(wire.Ready, name)
    until(lambda: f"{jobs.node}/{name}/1/" in jobs.marks(made))  # it is the job's now, and waits for the grant
    kill(made)
    server.granting = True
    server.grant(name)
    assert server.fact(wire.Started, name).note.endswith("what was prepared ended before its start.")
    assert jobs.end(name).exits[0].code == 0
    assert jobs.log(name).startswith(f"False token-of-{name}-0 ")
    server.granting = False
    made = jobs.wait()
    jobs.begin("die-again", "python die.py", job)
    server.fact(wire.Ready, "die-again")
    until(lambda: f"{jobs.node}/die-again/1/" in jobs.marks(made))
    kill(jobs.nodes.agent_pid(jobs.node))  # it waits for its grant, and dies with its agent
    until(lambda: not alive(made))
    server.granting = True
    server.grant("die-again")
    assert jobs.end("die-again").exits[0].code == 0, jobs.log("die-again")
    until(lambda: not groups(jobs))
    jobs.run("die-before", "python die.py", job)
    jobs.wait()
    kill(jobs.nodes.agent_pid(jobs.node))
    until(lambda: not jobs.made())
    assert jobs.run("die-last", "python die.py", job).note == ""
    assert not list((jobs.nodes.folder(jobs.node) / "ahead").iterdir())
