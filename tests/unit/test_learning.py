"""Types that threads read are learnt while their modules are loaded."""

from __future__ import annotations

import subprocess
import sys

_MEET = """
import sys, threading
sys.setswitchinterval(1e-6)
import msgspec
from mayfly.node.materialise import Materialised
from mayfly.wire import agent
from mayfly.wire.journal import Entry
report = b'{"node":"n","reports":[{"fact":"ready","fence":{"job":"j","attempt":1,"epoch":1},"rank":0,"at":1,"address":"a"}]}'
start = threading.Barrier(8)
def read():
    start.wait()
    msgspec.json.decode(report, type=agent.Reports)
    msgspec.json.decode(b'{"run":"r"}', type=Entry)
    msgspec.convert({"inputs": {}, "readable": [], "path": []}, Materialised)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("met")
"""


def test_threads_may_meet_at_the_first_of_a_kind() -> None:
    for _ in range(4):  # without that, seven of eight ended with a segmentation fault
        done = subprocess.run([sys.executable, "-c", _MEET], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "met\n"), done.stderr[-500:]
