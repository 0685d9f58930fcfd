"""What makes Azure's unmodified clients speak to this server: variables for a process, and a bundle of certificates.

Nothing is set that would let them go to the real Azure by silence: with the cloud's name set, an unreachable server is an
error, and only the identity that this server gives is asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mayfly.client.home import ServerRecord
from mayfly.kit.errors import Conflict
from mayfly.transfer import certificates
from mayfly.wire.azureml import cloud

NAMES = (
    "ARM_CLOUD_METADATA_URL",
    "AZUREML_CURRENT_CLOUD",
    "REGISTRY_DISCOVERY_ENDPOINT_URL",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "AZURE_TOKEN_CREDENTIALS",
    "AZUREML_RUN_POLLING_INTERVAL_MIN",
    "AZUREML_RUN_POLLING_INTERVAL_MAX",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_TRACKING_TOKEN",
    "NO_PROXY",
    "no_proxy",
)
"""Every one that may be set."""
BUNDLES = certificates.VARIABLES
FOREIGN = (
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_PASSWORD",
    "AZURE_USERNAME",
    "AZUREML_DEV_URL_MFE",
    "IDENTITY_SERVER_THUMBPRINT",
)
"""What would lead to the real Azure: credentials, which DefaultAzureCredential would try there first, and an address."""
_MLFLOW = "MLFLOW_TRACKING_URI"
_LOOPBACK = "127.0.0.1,localhost,::1"


@dataclass(frozen=True, slots=True)
class Variables:
    values: Mapping[str, str]
    dropped: tuple[str, ...]
    """Of those that are set now: they must not be."""


def variables(record: ServerRecord, environ: Mapping[str, str], folder: Path) -> Variables:
    """For a process that is given `environ`. Raises Conflict `ServerWithoutTls`; Invalid `BundleUnreadable` for a bundle
    of certificates that is named there and cannot be read."""
    if not record.secure_url:
        raise Conflict(
            "ServerWithoutTls",
            f"The server at {record.url} does not listen for Azure's clients.",
            remedy="Type `mayfly down`, then this command again.",
        )
    bundle = str(merged(record.authority, environ, folder))
    values = {
        "ARM_CLOUD_METADATA_URL": metadata_address(record),
        "AZUREML_CURRENT_CLOUD": cloud.NAME,
        "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{record.secure_url}/",
        **dict.fromkeys(BUNDLES, bundle),
        "IDENTITY_ENDPOINT": f"{record.url}/msi/token",
        "IDENTITY_HEADER": record.token(),
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        "AZUREML_RUN_POLLING_INTERVAL_MIN": "1",
        "AZUREML_RUN_POLLING_INTERVAL_MAX": "5",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    dropped = [name for name in FOREIGN if environ.get(name)]
    if environ.get(_MLFLOW, "").lower().startswith("azureml:"):
        dropped.append(_MLFLOW)
    elsewhere = [name for name in (_MLFLOW, "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN") if environ.get(name)]
    if not set(elsewhere) - set(dropped):  # else the key would be told to another server
        values["MLFLOW_TRACKING_TOKEN"] = record.token()
    if any(environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")):
        given = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
        values |= dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(filter(None, (given, _LOOPBACK))))
    return Variables(values, tuple(dropped))


def metadata_address(record: ServerRecord) -> str:
    """Without TLS: clients make a new connection each of the many times they ask, and would read all certificates each
    time. It is of this machine and holds no secret; whom it names must show a certificate."""
    return f"{record.url}/metadata/endpoints?api-version=2019-05-01"


def merged(authority: Path, environ: Mapping[str, str], folder: Path) -> Path:
    """A bundle in `folder` of the public authorities, those of bundles that are set already, and ours. Raises Invalid
    `BundleUnreadable`."""
    given = dict.fromkeys(Path(name) for name in filter(None, map(environ.get, BUNDLES)))
    text = certificates.merged([authority, *given])
    path = folder / f"trusted-{hashlib.sha256(text).hexdigest()[:16]}.pem"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_bytes(text)
        fresh.rename(path)
    return path
