"""Command jobs between Azure's bodies and the language of job files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mayfly.kit.errors import Invalid

_MODES = {
    "readonlymount": "ro_mount",
    "readwritemount": "rw_mount",
    "evalmount": "eval_mount",
    "evaldownload": "eval_download",
}
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?\Z")
_PRIORITIES = {1: "low", 2: "medium", 3: "high"}
_LATER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


_LABELS = ("displayName", "experimentName", "description", "tags", "properties")


def definition(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """The job file that says what `properties` of a body say; `code` is left out. Raises Invalid `DurationInvalid`."""
    found = common(name, told) | {
        "type": "command",
        "command": told.get("command"),
        "environment_variables": told.get("environmentVariables"),
        "environment": reference(told.get("environmentId")),
        "component": reference(told.get("componentId")),
        **how(told),
    }
    return _given(found)


def how(told: Mapping[str, Any]) -> dict[str, Any]:
    """On what, for how long and as whom a job runs. Raises Invalid `DurationInvalid`."""
    found = {
        "resources": _resources(mapping(told, "resources")),
        "limits": _limits(mapping(told, "limits")),
        "queue_settings": _queue(mapping(told, "queueSettings")),
        "distribution": _typed(mapping(told, "distribution"), "distributionType"),
        "identity": identity(told),
        "services": {key: _service(value) for key, value in mapping(told, "services").items() if _asked(key, value)},
    }
    return _given(found)


def common(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """What jobs of every type say in the same way."""
    found: dict[str, Any] = {_snake(key): told.get(key) for key in _LABELS}
    found |= {
        "name": name,
        "compute": last(told.get("computeId")),
        "inputs": {key: _input(value) for key, value in mapping(told, "inputs").items()},
        "outputs": {key: _output(value) for key, value in mapping(told, "outputs").items() if key != "default"},
    }
    return _given(found)


def _given(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value not in (None, {}, "")}


def _input(told: Any) -> Any:
    if not isinstance(told, Mapping):
        return told
    kind = str(told.get("jobInputType", "uri_folder"))
    if kind.lower() == "literal":
        return {"value": told.get("value")}
    found = {"type": kind, "path": reference(told.get("uri")), "mode": mode(told.get("mode"))}
    return {key: value for key, value in found.items() if value is not None}


def _output(told: Any) -> Any:
    if not isinstance(told, Mapping):
        return {}
    found = {
        "type": told.get("jobOutputType"),
        "path": reference(told.get("uri")),
        "mode": mode(told.get("mode")),
        "name": told.get("assetName"),
        "version": told.get("assetVersion"),
        "description": told.get("description"),
    }
    return {key: value for key, value in found.items() if value is not None}


def mode(told: Any) -> Any:
    """As job files write it."""
    return _MODES.get(told.lower(), told.lower()) if isinstance(told, str) else None


def _resources(told: Mapping[str, Any]) -> dict[str, Any]:
    docker = told.get("dockerArgsList") or told.get("dockerArgs")
    found = {**{_snake(key): value for key, value in told.items() if key != "dockerArgsList"}, "docker_args": docker}
    return {key: value for key, value in found.items() if value not in (None, {}, [])}


def _limits(told: Mapping[str, Any]) -> dict[str, Any]:
    timeout = told.get("timeout")
    if timeout is None:
        return {}
    if str(timeout).isdecimal():  # as the SDK sends {"timeout": 60} of a pipeline's step
        return {"timeout": int(timeout)}
    match = _DURATION.match(str(timeout))
    if match is None:
        raise Invalid("DurationInvalid", f"'{timeout}' is no duration such as PT1H30M.", pointer="/limits/timeout")
    days, hours, minutes, seconds = (int(one or 0) for one in match.groups())
    return {"timeout": ((days * 24 + hours) * 60 + minutes) * 60 + seconds}


def _queue(told: Mapping[str, Any]) -> dict[str, Any]:
    priority = told.get("priority")
    found = {
        "job_tier": told.get("jobTier"),
        "priority": _PRIORITIES.get(priority, str(priority)) if priority is not None else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def identity(told: Mapping[str, Any]) -> dict[str, Any]:
    found = _typed(mapping(told, "identity"), "identityType")
    words = {"amltoken": "aml_token", "useridentity": "user_identity"}
    if "type" in found:
        found["type"] = words.get(str(found["type"]).lower(), found["type"])
    return found


def _service(told: Mapping[str, Any]) -> dict[str, Any]:
    nodes = told.get("nodes")
    found = {
        "job_service_type": told.get("jobServiceType"),
        "nodes": nodes.get("nodesValueType", nodes) if isinstance(nodes, Mapping) else nodes,
        "port": told.get("port"),
        "properties": told.get("properties"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _asked(name: str, told: Any) -> bool:
    """Two are said by the server of every job, and come back when a job is sent again."""
    return isinstance(told, Mapping) and name not in ("Studio", "Tracking")


def _typed(told: Mapping[str, Any], kind: str) -> dict[str, Any]:
    found = {_snake(key): value for key, value in told.items() if key != kind and value is not None}
    said = told.get(kind) or told.get("type")
    return {**found, "type": said} if said else {}


def mapping(told: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What lies under that key; empty where it is no mapping."""
    found = told.get(key)
    return found if isinstance(found, Mapping) else {}


def reference(told: Any) -> Any:
    """A bare id as job files write it."""
    return f"azureml:{told}" if isinstance(told, str) and told.lower().startswith("/subscriptions/") else told


def last(id: Any) -> Any:
    """The name at the end of an id."""
    return id.rstrip("/").rpartition("/")[2] if isinstance(id, str) else None


def _snake(word: str) -> str:
    return _LATER.sub("_", word).lower()


def camel(word: str) -> str:
    """A job file's key as a body has it."""
    first, *rest = word.split("_")
    return first + "".join(one.capitalize() for one in rest)
