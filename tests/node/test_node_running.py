"""A job on a real node, end to end."""

from __future__ import annotations

from mayfly.testing.nodes import Nodes, assignment
from mayfly.wire import agent as wire


def test_hello_goes_all_the_way(nodes: Nodes) -> None:
    server, node = nodes.server, nodes.start()
    code = server.add_tree({"main.py": b"print('hello from', __file__)\nopen('outputs/x', 'w').write('42')\n"})
    server.assign(node, assignment("hello", "python main.py", code=code))
    collected = server.fact(wire.Collected, "hello")
    assert "hello from" in server.log("hello")
    exited = server.fact(wire.Exited, "hello")
    assert [e.code for e in exited.exits] == [0]
    assert exited.before_stop and not exited.lost
    files = server.output(collected)
    assert files["outputs/x"] == b"42"
    assert files["user_logs/std_log.txt"].decode() == server.log("hello")
    assert collected.logs["user_logs/std_log.txt"] == len(server.log("hello"))
    server.fact(wire.Released, "hello")
    server.wait(lambda: not list((nodes.folder(node) / "attempts").iterdir()))
    server.wish_node("end")
    assert nodes.watchdog(node).wait(10) == 0
    assert nodes.is_free(node)
