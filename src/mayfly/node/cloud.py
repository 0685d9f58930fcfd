"""What lets Azure's own clients inside a job speak to this server, as the job: variables, a bundle of certificates, and the
workspace's address where `MLClient.from_config()` looks for one."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from mayfly.kit.errors import Invalid
from mayfly.node.disk import write_whole
from mayfly.node.folders import AttemptFolder
from mayfly.transfer import certificates
from mayfly.wire.agent import Assignment
from mayfly.wire.azureml import cloud

_LOOPBACK = "127.0.0.1,localhost,::1"
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")


def files(folder: AttemptFolder) -> tuple[Path, ...]:
    """What `variables` has written, for jobs to read."""
    return tuple(path for path in (_bundle(folder), _config(folder)) if path.exists())


def variables(
    server: Mapping[str, Any], folder: AttemptFolder, assignment: Assignment, gateway: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Whose tokens the job gets is the server's to say, and asked of it through the gateway. `server`: what the present one
    has said of itself. `environ`: the node's own. A server without a TLS listener has nothing to speak to, but gives tokens
    all the same."""
    found = {
        "IDENTITY_ENDPOINT": f"{gateway}/msi/token",
        "IDENTITY_HEADER": assignment.token,
        "MSI_ENDPOINT": f"{gateway}/msi/token",
        "MSI_SECRET": assignment.token,
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
    }
    if not server.get("secure_url"):
        return found
    names = {
        "subscription_id": assignment.workspace.get("subscription", ""),
        "resource_group": assignment.workspace.get("resource_group", ""),
        "workspace_name": assignment.workspace.get("workspace", ""),
    }
    _config(folder).write_text(json.dumps(names), encoding="utf-8")
    _config(folder).chmod(0o644)
    found |= {
        "ARM_CLOUD_METADATA_URL": f"{server['secure_url']}/metadata/endpoints?api-version=2019-05-01",
        "AZUREML_CURRENT_CLOUD": cloud.NAME,
        "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{server['secure_url']}/",
        "AZUREML_RUN_POLLING_INTERVAL_MIN": "1",
        "AZUREML_RUN_POLLING_INTERVAL_MAX": "5",
    }
    if any(environ.get(name) for name in _PROXIES):
        given = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
        found |= dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(filter(None, (given, _LOOPBACK))))
    try:
        text = certificates.merged([Path(server["authority"]), *_trusted(environ)])
    except Invalid:
        return found  # the node's own bundle cannot be read: its jobs would trust nobody
    _lay(text, _bundle(folder))
    return found | dict.fromkeys(certificates.VARIABLES, str(_bundle(folder)))


def _trusted(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """What programs on this node trust that are told nothing."""
    named = [environ.get(name) for name in certificates.VARIABLES]
    system = [ssl.get_default_verify_paths().cafile, str(_SYSTEM)]
    return tuple(Path(name) for name in dict.fromkeys((*named, *system)) if name and Path(name).is_file())


def _lay(text: bytes, bundle: Path) -> None:
    """The file, as a link to one that the node's jobs share."""
    shared = _shared(bundle.parent.parent.parent, text)
    with suppress(FileNotFoundError):
        bundle.unlink()
    try:
        bundle.hardlink_to(shared)
    except OSError:
        bundle.write_bytes(text)
        bundle.chmod(0o644)


@lru_cache(4)
def _shared(node: Path, text: bytes) -> Path:
    """Nobody writes to it."""
    path = node / f"trusted-{hashlib.sha256(text).hexdigest()[:16]}.pem"
    write_whole(path, text)
    path.chmod(0o444)
    return path


def _bundle(folder: AttemptFolder) -> Path:
    return folder.root / "trusted.pem"


def _config(folder: AttemptFolder) -> Path:
    """Above the working directory: a file of that name in the job's own code comes before it."""
    return folder.root / "config.json"
