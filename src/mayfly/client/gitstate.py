"""Where the code came from, as git knows it: repository without credentials, branch, commit, and whether it is dirty."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from mayfly.wire.mayfly import GitState

LIMIT_S = 2.0


def of(folder: Path, *, limit_s: float = LIMIT_S) -> GitState | None:
    """None outside a repository, without git, or when it does not answer in time. Never fails, changes nothing."""
    if (top := _git(folder, limit_s, "rev-parse", "--show-toplevel")) is None:
        return None
    del top
    commit = _git(folder, limit_s, "rev-parse", "--verify", "-q", "HEAD")
    branch = _git(folder, limit_s, "symbolic-ref", "--short", "-q", "HEAD")
    remote = _git(folder, limit_s, "config", "--get", "remote.origin.url")
    status = _git(folder, limit_s, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules")
    return GitState(
        repository=without_credentials(remote) if remote else None,
        branch=branch or None,
        commit=commit or None,
        dirty=bool(status),
    )


def without_credentials(url: str) -> str | None:
    """The address without user, password, query and fragment; None for what cannot be understood well enough to be
    sure that no secret is left in it."""
    if "://" in url:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return None
        place = f"[{host}]" if ":" in host else host
        return urlunsplit((parts.scheme, f"{place}:{port}" if port else place, parts.path, "", ""))
    ssh = re.fullmatch(r"(?:[^@/\s]+@)?([\w.-]+:[^@\s]+)", url)
    if ssh:
        return ssh.group(1)
    return url if "@" not in url else None


def _git(folder: Path, limit_s: float, *words: str) -> str | None:
    quiet = {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    # A repository's own configuration may name a program to run (fsmonitor); asking for the state must not run it.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
    kept = {
        name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    }
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            env={**kept, **quiet},
            check=False,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
