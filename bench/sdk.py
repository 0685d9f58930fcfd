"""What Azure's SDK waits for here: a command job with an unchanged snapshot, and the cloud's description that it asks for
before nearly every call. Prints JSON.

    python bench/sdk.py [FOLDER]

A real server, its machine busy with jobs that sleep, and the SDK as `mayfly exec` runs it. Its own time is what remains of a call without the waits for answers,
in the same process; the floor of the description is a bare handler's answer, over the same kind of connection.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mayfly.testing.embedded import Embedded

SCRIPT = """
import http.client, json, os, statistics, threading, time, warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
warnings.simplefilter("ignore")
import requests.adapters
from azure.ai.ml import MLClient, command
from azure.ai.ml.entities import Environment
from azure.identity import DefaultAzureCredential

waited = [0.0, 0]
plain = requests.adapters.HTTPAdapter.send
def send(*args, **more):
    start = time.perf_counter()
    try:
        return plain(*args, **more)
    finally:
        waited[0] += time.perf_counter() - start
        waited[1] += 1
requests.adapters.HTTPAdapter.send = send
ml = MLClient(DefaultAzureCredential(), "sub", "group", "bench")
def submit():
    job = command(code="./code", command="sleep 300", environment=Environment(image="library/python:latest"))
    return ml.jobs.create_or_update(job)
submit()
whole, own, calls = [], [], []
for _ in range(20):
    waited[:] = [0.0, 0]
    start = time.perf_counter()
    submit()
    whole.append(time.perf_counter() - start)
    own.append(whole[-1] - waited[0])
    calls.append(waited[1])

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")
def answers(connection, path):
    found = []
    for _ in range(1000):
        start = time.perf_counter()
        connection.request("GET", path)
        connection.getresponse().read()
        found.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(found), 3)
bare = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=bare.serve_forever, daemon=True).start()
url = urlsplit(os.environ["ARM_CLOUD_METADATA_URL"])
print(json.dumps({
    "create_or_update_ms": round(statistics.median(whole) * 1000, 1),
    "of_which_the_sdk_itself_ms": round(statistics.median(own) * 1000, 1),
    "ratio": round(statistics.median(whole) / statistics.median(own), 2),
    "calls": statistics.median(calls),
    "metadata_ms": answers(http.client.HTTPConnection(url.netloc), url.path),
    "bare_ms": answers(http.client.HTTPConnection("127.0.0.1", bare.server_address[1]), "/"),
}))
"""


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        server = Embedded(Path(place) / "home")
        script = Path(place) / "work" / "script.py"
        (script.parent / "code").mkdir(parents=True)
        (script.parent / "code" / "train.py").write_text("print('hello')\n", encoding="utf-8")
        script.write_text(SCRIPT, encoding="utf-8")
        try:
            server.start()
            said = server.run("exec", "--", sys.executable, str(script), cwd=script.parent)
        finally:
            server.finish()
        if said.status != 0:
            sys.exit(said.err[-3000:])
        found = json.loads(said.out.strip().splitlines()[-1])
        print(json.dumps({"question": "what the SDK waits for", **found}, indent=2))


if __name__ == "__main__":
    main()
