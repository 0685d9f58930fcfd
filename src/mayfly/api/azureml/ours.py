"""What Azure's bodies say of jobs that came by another door: job files as `properties`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mayfly.api.azureml.command import camel, last, mapping
from mayfly.api.azureml.pipeline import CONTROL
from mayfly.services.inputs import address_of
from mayfly.spec.document import escape
from mayfly.wire.mayfly import Submission

_MODES = {
    "ro_mount": "ReadOnlyMount",
    "rw_mount": "ReadWriteMount",
    "eval_mount": "EvalMount",
    "eval_download": "EvalDownload",
}
_DISTRIBUTIONS = {"pytorch": "PyTorch", "tensorflow": "TensorFlow", "mpi": "Mpi"}
_STEPS_OWN = ("display_name", "description", "tags", "properties", "environment_variables", "resources")
"""What a step says in bodies as in files."""
_STEPS = ("command", "pipeline", *CONTROL)
"""Types of steps that clients take in this form."""
_IDENTITIES = {
    "aml_token": "AMLToken",
    "user_identity": "UserIdentity",
    "managed": "Managed",
    "managed_identity": "Managed",
}


def properties(told: Submission) -> dict[str, Any]:
    """Of a command job."""
    written = told.definition
    environment = written.get("environment")
    found = {
        "jobType": "Command",
        "command": written.get("command") or "",
        "environmentId": environment if isinstance(environment, str) else "azureml:inline:1",
        "computeId": written.get("compute"),
        "environmentVariables": written.get("environment_variables"),
        **interface(told),
        "resources": _renamed(mapping(written, "resources")) or None,
        "queueSettings": _queue(mapping(written, "queue_settings")) or None,
        "identity": _typed(mapping(written, "identity"), "identityType", _IDENTITIES),
        "distribution": _typed(mapping(written, "distribution"), "distributionType", _DISTRIBUTIONS),
        "limits": _limits(mapping(written, "limits")),
    }
    return {key: value for key, value in found.items() if value is not None}


def pipeline(told: Submission, anonymous: Callable[[str], str]) -> dict[str, Any]:
    """Of a pipeline. `anonymous`: the id of a component that a step has no name for, by a version."""
    settings = {key: value for key, value in mapping(told.definition, "settings").items() if value is not None}
    compute = settings.pop("default_compute", None) or told.definition.get("compute")
    steps = {
        name: _step(name, step, anonymous(f"{told.name or told.definition.get('name')}.{name}"))
        for name, step in mapping(told.definition, "jobs").items()
    }
    found = {
        "jobType": "Pipeline",
        "computeId": last(compute),
        "settings": settings,
        "jobs": {name: step for name, step in steps.items() if step["type"] in _STEPS},
        **interface(told),
    }
    return {key: value for key, value in found.items() if value is not None}


def _step(name: str, written: Mapping[str, Any], anonymous: str) -> dict[str, Any]:
    """In the form that steps have in bodies, half body, half job file."""
    if written.get("type") in CONTROL:
        return dict(written)
    component = written.get("component")
    inside = component if isinstance(component, Mapping) else {}
    told = {
        "name": name,
        "type": written.get("type") or inside.get("type") or "command",
        "componentId": component if isinstance(component, str) else anonymous,
        "computeId": last(written.get("compute")),
        "inputs": {key: _step_input(value) for key, value in mapping(written, "inputs").items()},
        "outputs": {key: _step_output(value) for key, value in mapping(written, "outputs").items()},
        "limits": _limits(mapping(written, "limits")),
        **{key: written.get(key) for key in _STEPS_OWN},
    }
    return {key: value for key, value in told.items() if value is not None}


def _step_input(told: Any) -> dict[str, Any]:
    if isinstance(told, Mapping) and "value" not in told:
        found = {"job_input_type": told.get("type", "uri_folder"), "uri": told.get("path"), "mode": _mode(told)}
        return {key: value for key, value in found.items() if value is not None}
    return {"job_input_type": "literal", "value": str(told["value"] if isinstance(told, Mapping) else told)}


def _step_output(told: Any) -> dict[str, Any]:
    if isinstance(told, str):
        return {"value": told, "type": "literal"}
    given = told if isinstance(told, Mapping) else {}
    return {"job_output_type": given.get("type", "uri_folder"), "mode": _mode(given) or "ReadWriteMount"}


def interface(told: Submission) -> dict[str, Any]:
    """What it is given, where that can be read, and what it makes."""
    inputs, outputs = (mapping(told.definition, key) for key in ("inputs", "outputs"))
    sent = {key: told.uploads.get(f"/inputs/{escape(key)}/path", "") for key in inputs}
    return {
        "inputs": {key: _input(value, sent[key]) for key, value in inputs.items()},
        "outputs": {key: _output(value) for key, value in outputs.items()},
    }


def _input(told: Any, sent: str) -> dict[str, Any]:
    """`sent`: the tree that came with the job, '' for what lay somewhere before."""
    if isinstance(told, Mapping) and "value" not in told:
        address = address_of(str(told.get("path", "")), sent)
        found = {"jobInputType": told.get("type", "uri_folder"), "uri": address, "mode": _mode(told)}
        return {key: value for key, value in found.items() if value is not None}
    value = told["value"] if isinstance(told, Mapping) else told
    return {"jobInputType": "literal", "value": str(value)}


def _output(told: Any) -> dict[str, Any]:
    given = told if isinstance(told, Mapping) else {}
    found = {
        "jobOutputType": given.get("type", "uri_folder"),
        "uri": given.get("path"),
        "mode": _mode(given) or "ReadWriteMount",
    }
    return {key: value for key, value in found.items() if value is not None}


def _mode(told: Mapping[str, Any]) -> str | None:
    word = told.get("mode")
    return _MODES.get(word, word.capitalize()) if isinstance(word, str) else None


def _renamed(told: Mapping[str, Any]) -> dict[str, Any]:
    return {camel(key): value for key, value in told.items() if value is not None}


def _queue(told: Mapping[str, Any]) -> dict[str, Any]:
    tier = told.get("job_tier")
    return {"jobTier": tier.capitalize()} if isinstance(tier, str) else {}


def _typed(told: Mapping[str, Any], key: str, words: Mapping[str, str]) -> dict[str, Any] | None:
    kind = words.get(str(told.get("type", "")).lower())
    return None if kind is None else {key: kind, **_renamed({k: v for k, v in told.items() if k != "type"})}


def _limits(told: Mapping[str, Any]) -> dict[str, Any] | None:
    seconds = told.get("timeout")
    return None if seconds is None else {"jobLimitsType": "Command", "timeout": f"PT{seconds}S"}
