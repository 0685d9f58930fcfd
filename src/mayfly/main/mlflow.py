"""The process in which the real MLflow server runs: one uvicorn worker, one door, a Unix socket in a private folder.

Started by `drivers.mlflow_server`, with MLflow's settings already in its environment. It ends when its standard input
does, so it never outlives the server.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sqlite3
import sys
import threading
from pathlib import Path

import uvicorn

PR_SET_PDEATHSIG = 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mayfly.main.mlflow", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where mlflow.db is kept")
    parser.add_argument("--socket", required=True, help="the Unix socket to listen on, relative to the working folder")
    arguments = parser.parse_args()
    _end_with_parent()
    # Readers never wait for the writer, and a commit costs one sync of the disk instead of several.
    with sqlite3.connect(arguments.folder / "mlflow.db") as database:
        database.execute("PRAGMA journal_mode=WAL")
    database.close()
    uvicorn.run(
        "mlflow.server.fastapi_app:app",
        uds=arguments.socket,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=75,
    )


def _end_with_parent() -> None:
    """The parent keeps the other end of our standard input open for as long as it lives. On Linux the kernel tells of
    its death besides, should this process hang."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
