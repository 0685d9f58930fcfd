"""The least that a durable accept over HTTP takes with the server's own parts: uvicorn with h11 and uvloop, a handler that reads the
body, commits as many bytes to SQLite on the loop itself, and answers as much. Run by `submit.py`; prints its port.

    python bench/bare_door.py FILE
"""

from __future__ import annotations

import socket
import sqlite3
import sys
from typing import Any

import uvicorn

ROW = "x" * 2500
"""As long as what a job's row has, and about what is answered."""


def main() -> None:
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE jobs (sequence INTEGER PRIMARY KEY, body TEXT)")

    async def handler(_scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        connection.execute("INSERT INTO jobs (body) VALUES (?)", (ROW,))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ROW)).encode())]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": ROW.encode()})

    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # said so that small answers do not wait for company
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(handler, http="h11", ws="none", lifespan="off", log_level="error", access_log=False)
        uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
