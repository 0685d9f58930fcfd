"""The definition that counts: two jobs with the same one would do the same (house §2.2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mayfly.spec.document import escape
from mayfly.spec.job import DEFAULT_SHM, CommandJob, render_literal
from mayfly.spec.models import DataInput, Environment
from mayfly.spec.paths import Refers, refers

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def normalised(job: CommandJob, uploads: Mapping[str, str]) -> dict[str, Any]:
    """JSON-able. Local paths are replaced by the digests of `uploads` (JSON pointer → digest), defaults are written
    out, spellings are canonical; name, display name, description, tags and properties are left out. Two definitions
    are equal exactly when this is."""
    normal = {
        "type": "command",
        "command": job.command,
        "code": uploads.get("/code", job.code),
        "environment": _environment(job, uploads),
        "environment_variables": job.variables,
        "inputs": {name: _input(name, value, uploads) for name, value in job.inputs.items()},
        "outputs": {
            name: value.model_dump(exclude_none=True, exclude={"description"}) for name, value in job.outputs.items()
        },
        "compute": job.target_name or "serverless",
        "experiment_name": job.experiment_name,
        "resources": {**job.resources.model_dump(exclude_none=True), "shm_size": job.resources.shm_size or DEFAULT_SHM},
        "queue_settings": {"job_tier": job.tier, "priority": job.queue_settings.priority},
        "limits": job.limits.model_dump(exclude_none=True),
        "distribution": job.distribution.model_dump(exclude_none=True) if job.distribution else None,
        "identity": job.identity.model_dump(exclude_none=True) if job.identity else None,
        "services": {name: value.model_dump(exclude_none=True) for name, value in job.services.items()},
    }
    return {key: value for key, value in normal.items() if value not in (None, {})}


def definition_digest(normal: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, over canonical JSON."""
    return hashlib.sha256(_CANONICAL.encode(normal).encode("utf-8", "surrogatepass")).hexdigest()


def _environment(job: CommandJob, uploads: Mapping[str, str]) -> Any:
    env = job.environment
    if not isinstance(env, Environment):
        return env
    body = env.model_dump(include={"image", "conda_file", "os_type", "inference_config"}, exclude_none=True)
    if env.build is not None:
        path = uploads.get("/environment/build/path", env.build.path)
        body["build"] = {**env.build.model_dump(exclude_none=True), "path": path}
    return body


def _input(name: str, value: Any, uploads: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(value, DataInput):
        return {"value": render_literal(value.value)}
    path = uploads.get(f"/inputs/{escape(name)}/path", value.path)
    body = {**value.model_dump(exclude_none=True, exclude={"datastore"}), "path": path}
    return {"mode": "ro_mount", **body} if value.path and refers(value.path) is Refers.LOCAL else body
