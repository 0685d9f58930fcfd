"""Several processes, several nodes, and what each is told."""

from __future__ import annotations

import json

from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire


def test_two_nodes_of_two_processes(nodes: Nodes) -> None:
    first, second = nodes.start(), nodes.start()
    kind = wire.Distribution(kind="pytorch", processes=2)
    command = "echo $RANK $LOCAL_RANK $WORLD_SIZE $NODE_RANK $MASTER_ADDR:$MASTER_PORT $AZ_BATCH_MASTER_NODE $AZUREML_NODE_COUNT"
    for rank, node in enumerate((first, second)):
        nodes.server.assign(node, assignment("gang", command, rank=rank, node_count=2, distribution=kind))
    for rank in (0, 1):
        assert [e.code for e in nodes.server.fact(wire.Exited, "gang", rank).exits] == [0, 0]
        nodes.server.fact(wire.Collected, "gang", rank)
    ready = nodes.server.fact(wire.Ready, "gang", 0)
    master = f"{ready.address}:{ready.ports[0]}"
    told = [
        nodes.server.log("gang", f"user_logs/std_log_process_{rank:02d}.txt", rank=rank // 2).split()
        for rank in range(4)
    ]
    assert told == [[str(r), str(r % 2), "4", str(r // 2), master, master, "2"] for r in range(4)]


def test_tensorflow_tasks(nodes: Nodes) -> None:
    kind = wire.Distribution(kind="tensorflow", workers=2, parameter_servers=1)
    job = [nodes.start(), nodes.start()]
    for rank, node in enumerate(job):
        nodes.server.assign(node, assignment("tf", "echo $TF_CONFIG", rank=rank, node_count=2, distribution=kind))
    for rank in (0, 1):
        nodes.server.fact(wire.Collected, "tf", rank)
    texts = [
        nodes.server.log("tf", "user_logs/std_log_process_00.txt", rank=0),
        nodes.server.log("tf", "user_logs/std_log_process_01.txt", rank=1),
        nodes.server.log("tf", "user_logs/std_log_process_02.txt", rank=0),
    ]
    configs = [json.loads(text) for text in texts]
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
        {"type": "ps", "index": 0},
    ]
    assert all(config["cluster"] == configs[0]["cluster"] for config in configs)
    hosts = configs[0]["cluster"]["worker"] + configs[0]["cluster"]["ps"]
    assert len(set(hosts)) == 3 and all(host.startswith("127.0.0.1:") for host in hosts)
    assert configs[0]["environment"] == "cloud"
