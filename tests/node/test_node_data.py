"""Inputs that lie elsewhere: brought to the node whole, or streamed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from mayfly.node.steps import DATA_STEPS
from mayfly.testing.agentserver import Outside
from mayfly.testing.nodes import Nodes, assignment, kill, until
from mayfly.transfer.unmounting import mounts_below
from mayfly.wire import agent as wire

GB = 1 << 30


def _data(name: str, **changes: object) -> wire.DataInput:
    return wire.DataInput(**{"name": name, "address": f"https://host/{name}", **changes})  # type: ignore[arg-type]


def _end(nodes: Nodes, job: str) -> wire.Collected:
    collected = nodes.server.fact(wire.Collected, job)
    nodes.server.discard(job)
    nodes.server.fact(wire.Released, job)
    return collected


@pytest.mark.parametrize("strategy", ["namespaces", "bubblewrap", "none"])
def test_every_mode(nodes: Nodes, strategy: str) -> None:
    order = ("namespaces", "bubblewrap", "uid", "none")
    node = nodes.start(MAYFLY_SANDBOX_WITHOUT=" ".join(order[: order.index(strategy)]))
    server = nodes.server
    odd = {"a b.txt": b"space\n", "tiefe/größe é.txt": "süß\n".encode(), "leer": b""}
    server.data = {
        "small": Outside(dict(odd)),
        "copy": Outside(dict(odd)),
        "one": Outside({"only one.csv": b"1,2\n"}),
        "big": Outside({"sub dir/größe.bin": 10 * GB, "x.txt": b"tail\n"}),
        "huge": Outside({"huge file.bin": 10 * GB}),
    }
    command = (
        "set -e; cat '${{inputs.small}}/a b.txt' '${{inputs.small}}/tiefe/größe é.txt' '${{inputs.one}}'; "
        "echo more >> '${{inputs.copy}}/a b.txt'; cat '${{inputs.copy}}/a b.txt'; "
        "head -c 1000000 '${{inputs.huge}}' | sha256sum; tail -c 16 '${{inputs.big}}/sub dir/größe.bin' | od -An -tu8; "
        "cat ${{inputs.big}}/x.txt; stat -c %s '${{inputs.huge}}'; "
        + ("" if strategy == "none" else "! touch ${{inputs.small}}/new; ")  # root writes where it likes
        + "! touch ${{inputs.big}}/new; ! sh -c 'echo > ${{inputs.big}}/x.txt'; id -u; "
        "echo ${{inputs.address}} $AZURE_ML_INPUT_address ${{outputs.direct}} $AZURE_ML_OUTPUT_direct; "
        "echo w > ${{outputs.file}}; echo $DATASET_MOUNT_CACHE_SIZE"
    )
    server.assign(
        node,
        assignment(
            "j",
            command,
            inputs=(
                _data("small"),
                _data("copy", mode="download"),
                _data("one", is_file=True),
                _data("big"),
                _data("huge", is_file=True),
                _data("address", mode="direct"),
            ),
            outputs=(
                wire.NamedOutput(name="direct", mode="direct", address="https://host/out"),
                wire.NamedOutput(name="file", is_file=True, file_name="world.txt"),
            ),
            variables={"DATASET_MOUNT_CACHE_SIZE": "10GB"},
        ),
    )
    collected = server.fact(wire.Collected, "j")
    log = server.log("j")
    assert server.fact(wire.Exited, "j").exits[0].code == 0, log
    assert log.startswith("space\nsüß\n1,2\nspace\nmore\n")
    assert f"{10 * GB // 8 - 2} {10 * GB // 8 - 1}" in " ".join(log.split())
    assert f"\ntail\n{10 * GB}\n" in log
    assert "https://host/address https://host/address https://host/out https://host/out\n10GB\n" in log
    assert server.output(collected, "file") == {"world.txt": b"w\n"}
    assert [output.name for output in collected.outputs] == ["default", "file"]
    assert server.data["huge"].moved < 50 << 20 and server.data["big"].moved < 50 << 20
    assert {one.asked for one in server.data.values()} == {1}
    _end(nodes, "j")
    assert not mounts_below(nodes.folder(node))
    assert "more" not in "".join(p.read_text() for p in (nodes.state / "cache" / "data").rglob("a b.txt"))


def test_what_is_known_by_version_is_not_brought_again(nodes: Nodes) -> None:
    server = nodes.server
    server.data["d"] = Outside({"f.txt": b"first"})
    for job, node in (("one", nodes.start()), ("two", nodes.start())):
        server.assign(node, assignment(job, "cat ${{inputs.d}}/f.txt", inputs=(_data("d"),)))
    for job in ("one", "two"):
        assert server.fact(wire.Exited, job).exits[0].code == 0
        assert server.log(job) == "first"
    assert server.data["d"].moved == 5
    server.data["d"] = Outside({"f.txt": b"other"}, version="v2")
    server.assign(node, assignment("three", "cat ${{inputs.d}}/f.txt", inputs=(_data("d", mode="download"),)))
    server.fact(wire.Collected, "three")
    assert server.log("three") == "other"


def test_a_broken_transfer_goes_on_where_it_broke(nodes: Nodes) -> None:
    server = nodes.server
    size = 3 << 20
    server.data["d"] = Outside({"f": size}, cut_after=1 << 20, cuts=2)
    node = nodes.start()
    server.assign(
        node, assignment("j", "stat -c %s ${{inputs.d}}", inputs=(_data("d", mode="download", is_file=True),))
    )
    server.fact(wire.Collected, "j")
    assert server.log("j") == f"{size}\n"
    assert [(offset, length) for _, offset, length in server.data["d"].reads] == [
        (0, size),
        (1 << 20, size - (1 << 20)),
        (2 << 20, size - (2 << 20)),
    ]
    assert server.data["d"].moved == size


@pytest.mark.parametrize(
    ("outside", "code", "words"),
    [
        (Outside({"f": 100}, changed=True), "DataChanged", "Input 'd'"),
        (Outside({"../f": 1}), "FileNameInvalid", "'..'"),
        (Outside({"f" * 300: 1}), "FileNameInvalid", "255 bytes"),
        (Outside({"f": 1 << 60}), "NodeDiskFull", "larger disk"),
        (
            Outside({"f": 9}, refusal=(403, {"error": {"code": "DataForbidden", "message": "No."}})),
            "DataForbidden",
            "No.",
        ),
        (
            Outside({"f": 9}, refusal=(503, {"error": {"code": "StorageUnreachable", "message": "Gone."}})),
            "DataUnreadable",
            "broke off",
        ),
        (None, "DataNotFound", "Nothing is at d"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_brought_is_told_early(nodes: Nodes, outside: Outside | None, code: str, words: str) -> None:
    if outside is not None:
        nodes.server.data["d"] = outside
    retries = {"AZUREML_DATASET_HTTP_RETRY_COUNT": "2"}
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "true", inputs=(_data("d", mode="download"),), variables=retries))
    failed = nodes.server.fact(wire.PreparationFailed, "j")
    assert failed.code == code and words in failed.message + failed.remedy
    left = nodes.state / "cache" / "data"
    assert not left.exists() or not [place for place in left.iterdir() if place.is_dir()]


def test_without_fuse_it_is_copied_and_said(nodes: Nodes) -> None:
    node = nodes.start(MAYFLY_SANDBOX_WITHOUT="fuse")
    nodes.server.data["d"] = Outside({"f": 40 << 20})
    nodes.server.assign(node, assignment("j", "stat -c %s ${{inputs.d}}/f", inputs=(_data("d"),)))
    assert "copied" in nodes.server.fact(wire.Ready, "j").note
    nodes.server.fact(wire.Collected, "j")
    assert nodes.server.log("j") == f"{40 << 20}\n"


def _streaming(nodes: Nodes, command: str, **environment: str) -> str:
    """A job that streams 100 MB; its node."""
    node = nodes.start(**environment)
    nodes.server.data["d"] = Outside({"f": 100 << 20})
    nodes.server.assign(node, assignment("j", command, inputs=(_data("d", is_file=True),)))
    return node


_SLOWLY = (
    "exec 3< ${{inputs.d}}; dd bs=1M count=1 <&3 2>/dev/null | sha256sum; echo begun; "
    "while [ ! -e go ]; do sleep 0.02; done; dd bs=1M <&3 2>&1 >whole | tail -1; stat -c %s whole; rm whole"
)


def _go_on(nodes: Nodes, node: str) -> None:
    (next((nodes.folder(node) / "attempts").glob("j-*")) / "code" / "go").touch()


@pytest.mark.fault
def test_reads_wait_while_the_server_is_away_and_the_agent_dies(nodes: Nodes) -> None:
    node = _streaming(nodes, _SLOWLY)
    nodes.server.wait(lambda: "begun" in nodes.server.log("j"))
    nodes.server.stop()
    os.kill(nodes.agent_pid(node), signal.SIGKILL)
    _go_on(nodes, node)
    nodes.server.start()
    nodes.server.fact(wire.Collected, "j", timeout_s=60)
    assert nodes.server.log("j").endswith(f"\n{99 << 20}\n"), nodes.server.log("j")
    _end(nodes, "j")
    assert not mounts_below(nodes.folder(node))


@pytest.mark.fault
def test_a_killed_mount_server_is_an_error_and_not_a_hang(nodes: Nodes) -> None:
    node = _streaming(nodes, _SLOWLY)
    nodes.server.wait(lambda: "begun" in nodes.server.log("j"))
    os.kill(until(lambda: _mount_server(nodes, node)), signal.SIGKILL)
    _go_on(nodes, node)
    collected = nodes.server.fact(wire.Collected, "j")
    assert "died" in collected.message
    assert not nodes.server.log("j").endswith(f"\n{99 << 20}\n")
    _end(nodes, "j")
    assert not mounts_below(nodes.folder(node))


def _mount_server(nodes: Nodes, node: str) -> int:
    wanted = f"--mount\0{nodes.folder(node)}/".encode()
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and wanted in (place / "cmdline").read_bytes():
                return int(place.name)
        except OSError:
            continue
    return 0


@pytest.mark.fault
def test_a_job_that_waits_for_an_absent_server_can_be_stopped(nodes: Nodes) -> None:
    """Its read is in the kernel; a stop must reach it all the same."""
    nodes.server.data["d"] = Outside({"f": 100 << 20}, refusal=(503, {}))
    node = nodes.start()
    nodes.server.assign(node, assignment("j", "echo up; cat ${{inputs.d}} | wc -c", inputs=(_data("d", is_file=True),)))
    nodes.server.wait(lambda: "up" in nodes.server.log("j"))
    nodes.server.stop_attempt("j")
    exited = nodes.server.fact(wire.Exited, "j")
    assert not exited.before_stop
    _end(nodes, "j")
    assert not mounts_below(nodes.folder(node))


@pytest.mark.fault
def test_no_mount_is_left_when_all_of_a_node_is_killed(nodes: Nodes) -> None:
    node = _streaming(nodes, _SLOWLY)
    nodes.server.wait(lambda: "begun" in nodes.server.log("j"))
    watchdog, agent = nodes.watchdog(node).pid, nodes.agent_pid(node)
    mount = until(lambda: _mount_server(nodes, node))
    kill(watchdog, agent, mount, *nodes.processes(node, "j"))
    assert mounts_below(nodes.folder(node))
    nodes.watchdog(node).wait()
    nodes.start(node)
    nodes.server.discard("j")
    nodes.server.fact(wire.Released, "j")
    assert not mounts_below(nodes.folder(node))


@pytest.mark.fault
@pytest.mark.parametrize("step", ["listed", "input-chunk", "input-cached", "mounted"])
def test_agent_killed_at(nodes: Nodes, tmp_path: Path, step: str) -> None:
    assert step in DATA_STEPS
    marker = tmp_path / "killed"
    node = nodes.start(MAYFLY_KILL_AT=f"node:{step}", MAYFLY_KILL_ONCE=str(marker))
    nodes.server.data = {"copy": Outside({"f": 5 << 20, "g": b"x"}), "big": Outside({"f": 100 << 20})}
    inputs = (_data("copy", mode="download"), _data("big"))
    nodes.server.assign(
        node, assignment("j", "stat -c %s ${{inputs.copy}}/f; head -c 9 ${{inputs.big}}/f | wc -c", inputs=inputs)
    )
    nodes.server.fact(wire.Collected, "j")
    assert marker.exists()
    assert nodes.server.log("j") == f"{5 << 20}\n9\n"
    assert nodes.server.data["copy"].asked == 1
    _end(nodes, "j")
    assert not mounts_below(nodes.folder(node))
    until(lambda: not _mount_server(nodes, node))
