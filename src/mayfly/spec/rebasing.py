"""The local paths of what a file holds, named from the folder of another file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mayfly.spec.paths import Refers, refers
from mayfly.spec.words import LITERAL_TYPES


def rebased(body: Mapping[str, Any], rebase: Callable[[str], str]) -> dict[str, Any]:
    """The local paths of a component (or of anything with an environment) named from another folder."""
    changed = dict(body)
    if isinstance(code := body.get("code"), str) and refers(code) is Refers.LOCAL:
        changed["code"] = rebase(code)
    environment = body.get("environment")
    if isinstance(environment, str) and environment[:5].lower() == "file:":
        changed["environment"] = "file:" + rebase(environment)
    elif isinstance(environment, dict):
        environment = dict(environment)
        if isinstance(conda := environment.get("conda_file"), str):
            environment["conda_file"] = rebase(conda)
        build = environment.get("build")
        if isinstance(build, dict) and isinstance(path := build.get("path"), str) and refers(path) is Refers.LOCAL:
            environment["build"] = {**build, "path": rebase(path)}
        changed["environment"] = environment
    if isinstance(includes := body.get("additional_includes"), list):
        changed["additional_includes"] = [rebase(one) if isinstance(one, str) else one for one in includes]
    if isinstance(inputs := body.get("inputs"), dict):
        changed["inputs"] = {name: _rebased_input(port, rebase) for name, port in inputs.items()}
    if isinstance(jobs := body.get("jobs"), dict):
        changed["jobs"] = {name: _rebased_step(step, rebase) for name, step in jobs.items()}
    return changed


def _rebased_step(step: Any, rebase: Callable[[str], str]) -> Any:
    if not isinstance(step, dict):
        return step
    changed = rebased(step, rebase)
    named = step.get("component")
    if isinstance(named, str) and refers(named) is Refers.LOCAL:
        changed["component"] = rebase(named)
    elif isinstance(named, dict):
        changed["component"] = rebased(named, rebase)
    return changed


def _rebased_input(port: Any, rebase: Callable[[str], str]) -> Any:
    """Of a component its default, of a step the path that it is given."""
    for key in ("default", "path"):
        path = port.get(key) if isinstance(port, dict) else None
        if isinstance(path, str) and port.get("type") not in LITERAL_TYPES and refers(path) is Refers.LOCAL:
            return {**port, key: rebase(path)}
    return port
