"""What runs on one node of a job: its processes and the variables each of them sees. Pure."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mayfly.kit.errors import Invalid
from mayfly.kit.expressions import Reference, render
from mayfly.node.folders import AttemptFolder
from mayfly.wire.agent import Assignment, Go, Peer

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
_HANDED_ON = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PIP_CERT",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "TZ",
)
"""What a job sees of the node's own environment: how to reach packages, unless it holds a password."""
_FILES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "PIP_FIND_LINKS")
_HANDED_INTO_IMAGES = tuple(name for name in _HANDED_ON if name not in _FILES)
"""Where the node's own files are not seen."""


@dataclass(frozen=True, slots=True)
class Process:
    index: int
    """Among this node's processes."""
    rank: int
    """Among all the job's processes."""
    log: str
    """Below the artifact root: user_logs/std_log.txt, or std_log_process_<rank>.txt where the job has several."""
    variables: Mapping[str, str]
    """Those of its place in the distribution."""


def tensorflow_tasks(assignment: Assignment) -> tuple[tuple[str, int, int, int], ...]:
    """(kind, index, node, position on that node) of every task: workers, then parameter servers, round the nodes."""
    kind, nodes = assignment.distribution, assignment.node_count
    seats = [0] * nodes
    tasks = []
    for name, count in (("worker", kind.workers or nodes), ("ps", kind.parameter_servers)):
        for index in range(count):
            node = index % nodes
            tasks.append((name, index, node, seats[node]))
            seats[node] += 1
    return tuple(tasks)


def ports_needed(assignment: Assignment) -> int:
    """The rendezvous port, and one more for each TensorFlow task of this node."""
    if assignment.distribution.kind != "tensorflow":
        return 1
    return 1 + sum(node == assignment.rank for _, _, node, _ in tensorflow_tasks(assignment))


def processes(assignment: Assignment, go: Go) -> tuple[Process, ...]:
    """The processes of this node, in order. Variables as semantics §9 has them."""
    kind = assignment.distribution.kind
    master = go.peers[0]
    port = str(master.ports[0]) if master.ports else "29500"
    if kind == "tensorflow":
        return _tensorflow(assignment, go)
    each = assignment.distribution.processes if kind == "pytorch" else 1
    world = each * assignment.node_count
    found = []
    for index in range(each):
        rank = assignment.rank * each + index
        variables = {}
        if kind == "pytorch":
            variables = {
                "MASTER_ADDR": master.address,
                "MASTER_PORT": port,
                "WORLD_SIZE": str(world),
                "RANK": str(rank),
                "LOCAL_RANK": str(index),
                "LOCAL_WORLD_SIZE": str(each),
                "NODE_RANK": str(assignment.rank),
            }
        found.append(Process(index, rank, log_name(rank, world), variables))
    return tuple(found)


def _tensorflow(assignment: Assignment, go: Go) -> tuple[Process, ...]:
    tasks = tensorflow_tasks(assignment)
    cluster: dict[str, list[str]] = {}
    for name, _, node, seat in tasks:
        cluster.setdefault(name, []).append(_host_port(go.peers[node], seat))
    mine = [(number, task) for number, task in enumerate(tasks) if task[2] == assignment.rank]
    found = []
    for index, (number, (name, task, _, _)) in enumerate(mine):
        config = {"cluster": cluster, "task": {"type": name, "index": task}, "environment": "cloud"}
        found.append(Process(index, number, log_name(number, len(tasks)), {"TF_CONFIG": json.dumps(config)}))
    return tuple(found)


def _host_port(peer: Peer, seat: int) -> str:
    port = peer.ports[1 + seat] if len(peer.ports) > 1 + seat else 2222 + seat
    return f"{peer.address}:{port}"


def log_name(rank: int, world: int) -> str:
    return "user_logs/std_log.txt" if world == 1 else f"user_logs/std_log_process_{rank:02d}.txt"


def build_log_name(assignment: Assignment) -> str:
    return "user_logs/build_log.txt" if assignment.rank == 0 else f"user_logs/build_log_{assignment.rank:02d}.txt"


def command(assignment: Assignment, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """The command with its references filled in. Raises Invalid `ExpressionInvalid` for one that nobody defined."""

    def value(reference: Reference) -> str:
        place = {"inputs": inputs, "outputs": outputs}.get(reference.path[0], {})
        name = ".".join(reference.path[1:])
        if name not in place:
            raise Invalid("ExpressionInvalid", f"'{reference}' is not defined.", remedy="Declare it, or remove it.")
        return place[name]

    return render(assignment.command, value)


def output_paths(assignment: Assignment, folder: AttemptFolder) -> dict[str, str]:
    """Where each named output is written; in mode `direct` its address, for the command to write there itself. One called `artifacts` is the artifact root itself (semantics §4)."""
    found = {}
    for output in assignment.outputs:
        place = folder.code if output.name == "artifacts" else folder.outputs / output.name
        found[output.name] = str(place / (output.file_name or output.name) if output.is_file else place)
        if output.mode == "direct" and output.address:
            found[output.name] = output.address
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process is."""

    venv: str
    """'' in an image: its Python is its own."""
    path: tuple[Path, ...]
    """Searched before the system's own."""
    home: str
    tmp: str
    user: str
    node_variables: Mapping[str, str]
    """The agent's own environment, of which little is handed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings(Place):
    """What the variables of a process depend on besides the assignment."""

    tracking_uri: str
    go: Go
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    cores: int
    """Real cores of this machine."""
    cloud: Mapping[str, str] = field(default_factory=dict)
    """How Azure's clients find this server (`node.cloud`)."""


def standing(around: Place, cores: int) -> dict[str, str]:
    """The variables that tell nothing of the job but where it is and how large."""
    found = {
        name: around.node_variables[name]
        for name in (_HANDED_ON if around.venv else _HANDED_INTO_IMAGES)
        if around.node_variables.get(name) and "@" not in around.node_variables[name]
    }
    if around.venv:
        found["VIRTUAL_ENV"] = around.venv
    found |= dict.fromkeys(_THREADS, str(max(1, cores)))
    return found | {
        "PATH": os.pathsep.join([*(str(place) for place in around.path), SYSTEM_PATH]),
        "HOME": around.home,
        "TMPDIR": around.tmp,
        "USER": around.user,
        "LOGNAME": around.user,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "900",
    }


def variables(assignment: Assignment, process: Process, around: Surroundings) -> dict[str, str]:
    """The whole environment of a process. What the job itself sets wins."""
    tracking, workspace, peers = assignment.tracking, assignment.workspace, around.go.peers
    master = peers[0]
    found = standing(around, min(assignment.limits.cores, around.cores))
    found |= {
        "AZUREML_RUN_ID": assignment.name,
        "AZUREML_NODE_COUNT": str(assignment.node_count),
        "AZUREML_CR_NODE_RANK": str(assignment.rank),
        "AZUREML_PROCESS_NAME": "main" if process.log.endswith("std_log.txt") else f"rank_{process.rank}",
        "AZUREML_EXPERIMENT_NAME": tracking.experiment,
        "AZ_BATCHAI_MPI_MASTER_NODE": master.address,
        "AZ_BATCH_MASTER_NODE": f"{master.address}:{master.ports[0]}" if master.ports else master.address,
        "AZ_BATCH_HOST_LIST": ",".join(peer.address for peer in peers),
        "MLFLOW_TRACKING_URI": around.tracking_uri,
        "MLFLOW_TRACKING_TOKEN": assignment.token,
        "MLFLOW_RUN_ID": tracking.run,
        "AZUREML_MLFLOW_RUN_ID": tracking.run,  # MLflow's client takes the other one away on first use
        # By name only: MLflow's own id of the experiment is made on first use, and its client refuses a pair that differs.
        "MLFLOW_EXPERIMENT_NAME": tracking.experiment,
    }
    for key, name in (
        ("subscription", "AZUREML_ARM_SUBSCRIPTION"),
        ("resource_group", "AZUREML_ARM_RESOURCEGROUP"),
        ("workspace", "AZUREML_ARM_WORKSPACE_NAME"),
    ):
        found[name] = workspace.get(key, "")
    found["AZUREML_ARM_PROJECT_NAME"] = tracking.experiment
    found |= {f"AZUREML_PARAMETER_{name}": value for name, value in assignment.literals.items()}
    found |= {f"AZURE_ML_INPUT_{name}": value for name, value in around.inputs.items()}
    found |= {f"AZURE_ML_OUTPUT_{name}": value for name, value in around.outputs.items()}
    found["CUDA_VISIBLE_DEVICES"] = ",".join(assignment.limits.gpus)
    found |= around.cloud
    found |= assignment.environment.variables
    found |= process.variables
    return found | assignment.variables


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
