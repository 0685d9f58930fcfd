"""What a supervisor is told of one process: its command, its variables, the room it runs in and the limits it has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mayfly.node import cloud, images, plan
from mayfly.node.ahead import Interpreter
from mayfly.node.disk import read_json, write_json
from mayfly.node.folders import AttemptFolder
from mayfly.node.inputs import COPIED
from mayfly.node.limits import Group
from mayfly.node.materialise import Materialised
from mayfly.node.opening import Opening
from mayfly.node.processes import boot_id
from mayfly.node.sandbox import Enclosure, Overlay, Room, later, write_etc
from mayfly.node.supervisor import MARKER
from mayfly.node.workplace import USER, Workplace
from mayfly.wire.agent import Assignment, Go


def write_process_files(
    around: Workplace,
    assignment: Assignment,
    folder: AttemptFolder,
    processes: Sequence[plan.Process],
    ready: Materialised,
    group: Group,
    go: Go,
    uid: int,
) -> None:
    """One file for each process, with everything its supervisor needs. `uid` 0: the agent's own user."""
    present = around.server.present()
    cloud_variables = cloud.variables(present, folder, assignment, around.tracking_uri(), around.variables)
    enclosure = _enclose(around, assignment, folder, ready, uid)
    outputs = plan.output_paths(assignment, folder)
    command = plan.command(assignment, {**assignment.literals, **ready.inputs}, outputs)
    for process in processes:
        surroundings = plan.Surroundings(
            venv=ready.venv if ready.image else ready.venv or str(folder.venv),
            path=tuple(Path(place) for place in ready.path),
            home=str(folder.home),
            tmp=enclosure.tmp,
            tracking_uri=around.tracking_uri(),
            go=go,
            user=USER,
            inputs=ready.inputs,
            outputs=outputs,
            cores=os.cpu_count() or 1,
            node_variables=around.variables,
            cloud=cloud_variables,
        )
        variables = plan.variables(assignment, process, surroundings)
        argv, environment = enclosure.around([_shell(ready), "-c", command], variables)
        mark = marker(around.node.node, assignment, process.index)
        spec = {
            "argv": argv,
            "environment": {**environment, MARKER: mark},
            "entered": enclosure.entered,
            "ground": enclosure.ground,
            "waits": bool(enclosure.prefix),
            "folder": str(folder.code) if not enclosure.depth else str(folder.root),
            "log": str(folder.root / process.log),
            "record": str(folder.exit(process.index)),
            "pids": str(folder.pids(process.index)),
            "timeout_s": assignment.limits.timeout_s,
            "grace_s": around.grace_s,
            "drop_uid": enclosure.drop_uid,
            "depth": enclosure.depth,
            "cgroups": group.entrances,
            "oom": group.oom_file,
            "boot_id": boot_id(),
        }
        write_json(folder.process(process.index), spec)


def write_taken_file(
    assignment: Assignment, folder: AttemptFolder, ready: Materialised, taken: Interpreter, opening: Opening
) -> str:
    """For a process that becomes one that was made ahead: as `process-0.json`, but for where its home and its code are, and what is still to be
    shown. Why it cannot be; '' when it can."""
    spec = read_json(folder.process(0)) or {}
    environment = spec["environment"] | {
        "HOME": str(taken.home),
        "PWD": str(taken.code),
        "SHLVL": "0",
        "_": taken.program,
    }
    if why := taken.objection(opening, environment):
        return why
    readable = [(Path(source), Path(seen)) for source, seen in ready.readable]
    readable = [pair for pair in readable if pair[1] not in taken.shown]
    for path in cloud.files(folder):
        readable += [(path, path), (path, taken.root / path.name)]
    writable = [(path, path) for path in (folder.code, folder.outputs, *_downloads(assignment, folder))]
    writable.append((folder.code, taken.code))
    spec |= {
        "argv": [opening.program, *opening.own, *opening.rest],
        "environment": environment,
        "entered": later(readable, writable),
        "folder": str(taken.code),
        "waits": False,
        "depth": 2,
    }
    write_json(folder.taken, spec)
    return ""


def marker(node: str, assignment: Assignment, index: int) -> str:
    """What every process of this one bears in its environment, so that it can be found without a parent."""
    fence = assignment.fence
    return f"{node}/{fence.job}/{fence.attempt}/{fence.epoch}/{assignment.rank}/{index}"


def _enclose(
    around: Workplace, assignment: Assignment, folder: AttemptFolder, ready: Materialised, uid: int
) -> Enclosure:
    user = uid or os.getuid()
    image = Path(ready.image) if ready.image else None
    write_etc(folder.etc, user, user, USER, folder.home, image)
    downloads = _downloads(assignment, folder)
    if uid and not folder.record("launch").exists():  # later on it would follow the job's own doings
        folder.own(uid, downloads)
    overlay = Overlay(*map(Path, ready.overlay)) if ready.overlay else None
    hidden = (folder.tmp, folder.venv) if overlay else (folder.tmp,)
    return around.strategy.enclose(
        Room(
            folder=folder.root,
            writable=(*(place for place in folder.writable if place not in hidden), *downloads),
            readable=(
                *((Path(source), Path(seen)) for source, seen in ready.readable),
                *((path, path) for path in cloud.files(folder)),
            ),
            tmp=folder.tmp,
            etc=folder.etc,
            working=folder.code,
            shm_mib=assignment.limits.shm_mib,
            gpus=bool(assignment.limits.gpus),
            uid=uid,
            overlay=overlay,
            image=image,
        )
    )


def _downloads(assignment: Assignment, folder: AttemptFolder) -> list[Path]:
    return [folder.inputs / data.name for data in assignment.inputs if data.mode in COPIED]


def _shell(ready: Materialised) -> str:
    if ready.image:
        return images.shell(Path(ready.image)) or "/bin/sh"
    return shutil.which("bash", path="/bin:/usr/bin:/usr/local/bin") or "/bin/sh"
