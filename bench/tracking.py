"""What tracking costs a job: one call, how many points a second reach the rows, and what reading them back costs.
Prints JSON.

    python bench/tracking.py [FOLDER]

A real server, node and job. The floor is the same request to a bare handler of the standard library in a process of its
own. Points: `log-batch` calls of 1,000, from the first call to the last row.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from mayfly.testing.embedded import HELLO, Embedded

SCRIPT = """
import http.client, json, os, statistics, subprocess, sys, time
from urllib.parse import urlsplit
BARE = '''
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
'''
run, auth = os.environ["MLFLOW_RUN_ID"], "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]
def post(connection, operation, content):
    body = json.dumps({"run_id": run, **content}).encode()
    connection.request("POST", "/api/2.0/mlflow/runs/" + operation, body,
                       {"Authorization": auth, "Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
def calls(connection, key):
    found = []
    for i in range(500):
        start = time.perf_counter()
        post(connection, "log-metric", {"key": key, "value": i, "timestamp": i, "step": i})
        found.append((time.perf_counter() - start) * 1000)
    return [statistics.median(found), statistics.quantiles(found, n=20)[-1]]
bare = subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True)
floor = calls(http.client.HTTPConnection("127.0.0.1", int(bare.stdout.readline())), "floor")
bare.kill()
gateway = http.client.HTTPConnection(urlsplit(os.environ["MLFLOW_TRACKING_URI"]).netloc)
calls(gateway, "warm")
call = calls(gateway, "call")
began = time.time()
for batch in range(BATCHES):
    post(gateway, "log-batch", {"metrics": [
        {"key": f"many{batch % 8}", "value": i, "timestamp": batch, "step": i} for i in range(1000)]})
accepted = time.time() - began
def asked(path):
    found = []
    for _ in range(6):  # the first one waits until all that was written has arrived
        start = time.perf_counter()
        gateway.request("GET", f"/api/2.0/mlflow/metrics/{path}&metric_key=many1", headers={"Authorization": auth})
        answer = gateway.getresponse()
        assert answer.read() and answer.status == 200
        found.append((time.perf_counter() - start) * 1000)
    return statistics.median(found[1:])
read = [asked(f"get-history?run_id={run}&max_results=1000"),
        asked(f"get-history-bulk-interval?run_ids={run}&max_results=320")]
print(json.dumps({"floor": floor, "call": call, "began": began, "accepted_s": accepted, "read": read}), flush=True)
"""
BATCHES = 100


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        one = Embedded(Path(folder) / "home")
        one.start()
        try:
            print(json.dumps(measure(one), indent=2))
        finally:
            one.finish()


def measure(one: Embedded) -> dict[str, object]:
    path = one.write({**HELLO, "command": "python train.py", "code": "."})
    (path.parent / "train.py").write_text(SCRIPT.replace("BATCHES", str(BATCHES)))
    name = one.json("job", "create", "-f", str(path))["name"]
    points = BATCHES * 1000
    ended = _last_row(one.folder / "mayfly.db", points + 1000)
    one.wait(name, "Completed", 300)
    told = json.loads(one.log(name))
    start = time.perf_counter()
    page = one.call("GET", f"/jobs/{name}/metrics?limit=1000&key=many1")
    page_ms = (time.perf_counter() - start) * 1000
    return {
        "floor_ms": dict(zip(("p50", "p95"), told["floor"], strict=True)),
        "call_ms": dict(zip(("p50", "p95"), told["call"], strict=True)),
        "call_above_floor_ms_p50": told["call"][0] - told["floor"][0],
        "points": points,
        "accepted_points_per_s": points / told["accepted_s"],
        "points_per_s_into_rows": points / (ended - told["began"]),
        "page_of_1000_ms": page_ms,
        "mlflow_page_of_1000_ms": told["read"][0],
        "mlflow_curve_of_320_ms": told["read"][1],
        "page_rows": len(page),
    }


def _last_row(database: Path, wanted: int) -> float:
    """When that many points were there."""
    with sqlite3.connect(database) as rows:
        while rows.execute("SELECT count(*) FROM metrics").fetchone()[0] < wanted:
            time.sleep(0.1)
    return time.time()


if __name__ == "__main__":
    main()
