"""What a person's shell brings to Azure's clients: the SDK that its `python` has, and variables that lead elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from mayfly.client.home import ServerRecord
from mayfly.wire.azureml import cloud

TRIED = (1, 28)
"""The oldest version of the SDK that is tried with each change."""
_ADDRESSES = ("ARM_CLOUD_METADATA_URL", "REGISTRY_DISCOVERY_ENDPOINT_URL", "IDENTITY_ENDPOINT")
_ASK = "from importlib.metadata import version; print(version('azure-ai-ml'))"
_WITHIN_S = 30


def checks(environ: Mapping[str, str], record: ServerRecord | None, check: Callable[..., Any]) -> Iterator[Any]:
    """`check(name, state, message, remedy)` for each. `record`: of the server that runs."""
    yield _sdk(environ, check)
    yield _variables(environ, record, check)


def _sdk(environ: Mapping[str, str], check: Callable[..., Any]) -> Any:
    python = shutil.which("python", path=environ.get("PATH")) or sys.executable  # as `mayfly exec -- python` finds it
    told = {key: value for key, value in environ.items() if key != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [python, "-c", _ASK], capture_output=True, text=True, timeout=_WITHIN_S, check=False, env=told, cwd="/"
        )
    except (OSError, subprocess.SubprocessError) as error:
        return check(
            "azure sdk", "warning", f"{python} does not start: {error}.", "Put another 'python' first on PATH."
        )
    version = done.stdout.strip()
    if done.returncode or not version:
        return check(
            "azure sdk", "ok", f"{python} has no azure-ai-ml; scripts that use it need it (pip install azure-ai-ml)"
        )
    numbers = tuple(int(one) for one in re.findall(r"\d+", version)[:2])
    if numbers < TRIED:
        least = ".".join(map(str, TRIED))
        message = f"{python} has azure-ai-ml {version}, older than what is tried here ({least})."
        return check("azure sdk", "warning", message, f"{python} -m pip install --upgrade azure-ai-ml")
    return check("azure sdk", "ok", f"azure-ai-ml {version}, {python}")


def _variables(environ: Mapping[str, str], record: ServerRecord | None, check: Callable[..., Any]) -> Any:
    """What a script sees that is started without `mayfly exec`."""
    remedy = (
        'Start scripts by `mayfly exec`, or renew them: eval "$(mayfly env)"; `mayfly env --unset` takes them back.'
    )
    own = {urlsplit(one).netloc for one in (record.url, record.secure_url)} if record is not None else set[str]()
    set_ones = {name: environ[name] for name in _ADDRESSES if environ.get(name)}
    for name, address in set_ones.items():
        if urlsplit(address).netloc not in own:
            where = "where no server of yours is" if own else "and no server runs"
            message = f"This shell's {name} leads to {urlsplit(address).netloc or address[:80]}, {where}."
            return check("shell", "warning", message, remedy)
    named = environ.get("AZUREML_CURRENT_CLOUD", "")
    if set_ones and named != cloud.NAME:
        message = (
            f"This shell's AZUREML_CURRENT_CLOUD is '{named}', not {cloud.NAME}: the SDK would go to the real Azure."
        )
        return check("shell", "warning", message, remedy)
    words = "leads here" if set_ones else "sets nothing; scripts are led here by `mayfly exec`"
    return check("shell", "ok", words)
