"""Pipelines from Azure's bodies to the language of job files. Their steps come in a form of their own, half body, half job
file, and those of pipeline components in the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mayfly.api.azureml import command
from mayfly.api.azureml.command import camel, last, mode, reference

_SAME = (
    "type",
    "command",
    "display_name",
    "description",
    "tags",
    "properties",
    "environment_variables",
    "settings",
    "depends_on",
    "is_deterministic",
)
"""What a step says in a job file's own words."""
CONTROL = ("if_else", "do_while", "parallel_for")
"""Steps that name others and come in a job file's own words."""
_HOW = ("resources", "limits", "queue_settings", "distribution", "identity")
"""What it says in a body's words, but for how their letters are written."""


def definition(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """The job file that says what `properties` of a body say. Raises Invalid `DurationInvalid`."""
    found = command.common(name, told) | {"type": "pipeline", "jobs": steps(told.get("jobs"))}
    if identity := command.identity(told):
        found["identity"] = identity
    if settings := _settings(told.get("settings"), found.pop("compute", None)):
        found["settings"] = settings
    return found


def component(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A `componentSpec` of type pipeline as its file has it."""
    return {**spec, "jobs": steps(spec.get("jobs"))}


def steps(told: Any) -> Any:
    """What is no mapping is left for the file's reader to refuse."""
    if not isinstance(told, Mapping):
        return told
    return {name: _step(node) if isinstance(node, Mapping) else node for name, node in told.items()}


def below(written: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a job file."""
    jobs = written.get("jobs")
    for step in jobs.values() if isinstance(jobs, Mapping) else ():
        if isinstance(step, dict):
            yield step


def _settings(told: Any, compute: Any) -> dict[str, Any]:
    given = {key: value for key, value in told.items() if value is not None} if isinstance(told, Mapping) else {}
    given.pop("_source", None)
    for key in ("default_compute", "default_datastore"):
        if key in given:
            given[key] = last(given[key])
    return {"default_compute": compute, **given} if compute else given


def _step(told: Mapping[str, Any]) -> dict[str, Any]:
    if told.get("type") in CONTROL:
        found = {key: value for key, value in told.items() if key != "_source"}
        outputs = {key: _output(value) for key, value in _mapping(told, "outputs").items()}
        return {key: value for key, value in {**found, "outputs": outputs}.items() if value not in (None, {}, "")}
    found = {key: told[key] for key in _SAME if told.get(key) not in (None, {}, "")}
    found |= {
        "component": reference(told.get("componentId")),
        "environment": reference(told.get("environment")),
        "compute": last(told.get("computeId")),
        "inputs": {key: _input(value) for key, value in _mapping(told, "inputs").items()},
        "outputs": {key: _output(value) for key, value in _mapping(told, "outputs").items()},
        **command.how({camel(key): _camelled(told[key]) for key in _HOW if key in told}),
        **command.how({"services": {key: _camelled(value) for key, value in _mapping(told, "services").items()}}),
    }
    return {key: value for key, value in found.items() if value not in (None, {}, "")}


def _input(told: Any) -> Any:
    if not isinstance(told, Mapping):
        return told
    kind = told.get("job_input_type") or told.get("type")
    if kind == "literal":
        value = told.get("value")
        return {"path": value, "mode": mode(told["mode"])} if told.get("mode") else value
    found = {"type": kind, "path": reference(told.get("uri")), "mode": mode(told.get("mode"))}
    return {key: value for key, value in found.items() if value is not None}


def _output(told: Any) -> Any:
    if not isinstance(told, Mapping):
        return told
    kind = told.get("job_output_type") or told.get("type")
    found = {
        "type": None if kind == "literal" else kind,
        "path": told.get("value") if kind == "literal" else reference(told.get("uri")),
        "mode": mode(told.get("mode")),
        "name": told.get("name"),
        "version": told.get("version"),
        "description": told.get("description"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _camelled(told: Any) -> Any:
    if not isinstance(told, Mapping):
        return told
    return {camel(key): value if key == "properties" else _camelled(value) for key, value in told.items()}


def _mapping(told: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = told.get(key)
    return found if isinstance(found, Mapping) else {}
