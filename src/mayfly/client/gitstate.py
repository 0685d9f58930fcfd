"""Where the code came from, as git knows it: repository without credentials, branch, commit, and whether it is dirty."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class GitState:
    """In the shape of `wire.mayfly.GitState`."""

    repository: str | None = None
    branch: str | None = None
    commit: str | None = None
    dirty: bool = False


def of(folder: Path, *, limit_s: float = LIMIT_S) -> GitState | None:
    """None outside a repository, without git, or when it does not answer in time. Never fails, changes nothing."""
    if not any((place / ".git").exists() for place in (folder.absolute(), *folder.absolute().parents)):
        return None  # most folders are in none, and need no program to say so
    told = _git(folder, limit_s, "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules")
    if told is None:
        return None
    head = dict(line[2:].split(" ", 1) for line in told.splitlines() if line.startswith("# branch."))
    commit, branch = head.get("branch.oid", ""), head.get("branch.head", "")
    remote = _git(folder, limit_s, "config", "--get", "remote.origin.url")
    return GitState(
        repository=without_credentials(remote) if remote else None,
        branch=None if branch in ("", "(detached)") else branch,
        commit=None if commit in ("", "(initial)") else commit,
        dirty=any(not line.startswith("#") for line in told.splitlines()),
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
