"""A PostgreSQL of one's own: started where its programs are found, gone with whoever started it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import OperationalError

_USER = "mayfly"
_SETTINGS = {
    "listen_addresses": "",  # the Unix socket is enough: no port to collide on
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum": "off",
}
_UNTIL_PARENT_ENDS = 'exec 3<&0; "$@" </dev/null 3<&- & read -r _ <&3; kill -INT $!; wait $!'


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, the newest version first; None where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: p.parent.name.zfill(4), reverse=True)
    found = shutil.which("initdb")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


class Cluster:
    """Runs until `close`, or until this process dies. As root it runs as an ordinary user, which PostgreSQL demands."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds the programs. Raises RuntimeError with their words when it does not start."""
        self._data = Path(tempfile.mkdtemp(prefix="mayfly-pg-"))
        user = _ordinary_user()
        if user is not None:
            os.chown(self._data, user.pw_uid, user.pw_gid)
        who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        initdb = [str(folder / "initdb"), "-D", str(self._data / "data"), "-U", _USER, "--auth=trust", "--no-sync"]
        made = subprocess.run(
            [*initdb, "-E", "UTF8", "--locale=C"], capture_output=True, text=True, cwd=self._data, **who
        )
        if made.returncode:
            raise RuntimeError(made.stderr)
        command = [str(folder / "postgres"), "-D", str(self._data / "data"), "-k", str(self._data)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with (self._data / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _UNTIL_PARENT_ENDS, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._data,
                start_new_session=True,
                **who,
            )
        self._wait()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{_USER}@/{database}?host={self._data}"

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)
        shutil.rmtree(self._data, ignore_errors=True)

    def _wait(self) -> None:
        engine = sqlalchemy.create_engine(self.url().replace("postgresql:", "postgresql+psycopg:"))
        deadline = time.monotonic() + 60
        while True:
            try:
                engine.connect().close()
                engine.dispose()
                return
            except OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._data / "log").read_text(errors="replace")) from error
                time.sleep(0.02)


def _ordinary_user() -> pwd.struct_passwd | None:
    """None when we are one ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'.")
