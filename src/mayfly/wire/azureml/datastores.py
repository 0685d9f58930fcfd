"""Datastores and code as Azure's clients name them: accounts, containers, and what opens them for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mayfly.wire.azureml.cloud import SUFFIX
from mayfly.wire.azureml.resources import Body, resource

ACCOUNT = "mayfly"
TYPES = {"azure_blob": "AzureBlob", "azure_data_lake_gen2": "AzureDataLakeGen2"}
"""By the words of job files; other kinds of datastores Azure's API has no word for."""
_FROM_AZURE = {
    **{azure: ours for ours, azure in TYPES.items()},
    "AzureFile": "azure_file",
    "AzureDataLakeGen1": "azure_data_lake_gen1",
    "OneLake": "one_lake",
    "Hdfs": "hdfs",
}


def blob_address(base: str, container: str, path: str = "") -> str:
    """Where a blob, a folder of blobs or a container is found on the server at `base`."""
    return f"{base}/{ACCOUNT}.blob.{SUFFIX}/{container}" + (f"/{quote(path)}" if path else "")


def code_address(base: str, container: str, path: str) -> str:
    """As `blob_address`, in the one form that clients can take apart who download code: they know no other cloud's names.
    The host is this server's all the same."""
    return f"{base}/{ACCOUNT}.blob.core.windows.net/{container}/{quote(path)}"


def own(id: str, host: str, container: str, *, default: bool, at: int) -> Body:
    """One of Mayfly's own. Clients make `https://<accountName>.blob.<suffix>` of the account's name, so that it begins
    with this server's host and port."""
    properties = {
        "datastoreType": "AzureBlob",
        "accountName": f"{host}/{ACCOUNT}",
        "containerName": container,
        "credentials": {"credentialsType": "Sas"},
        "isDefault": default,
        "description": "Kept by this Mayfly server.",
    }
    return resource(id, "workspaces/datastores", _filled(properties, {}), at=at)


def elsewhere(id: str, definition: Mapping[str, Any], *, has_credentials: bool, at: int | None) -> Body:
    """One that was registered, of one of the kinds in `TYPES`. What its credentials are is not said."""
    properties = {
        "datastoreType": TYPES[definition["type"]],
        "accountName": definition.get("account_name"),
        "containerName": definition.get("container_name"),
        "filesystem": definition.get("filesystem"),
        "endpoint": definition.get("endpoint", "core.windows.net"),
        "credentials": {"credentialsType": "AccountKey" if has_credentials else "None"},
        "isDefault": False,
        "description": definition.get("description"),
        "tags": dict(definition.get("tags", {})),
    }
    return resource(id, "workspaces/datastores", _filled(properties, definition), at=at)


def definition(name: str, properties: Mapping[str, Any]) -> Body:
    """What a datastore file of the same meaning holds. An endpoint that clients filled in by themselves is left out."""
    kind = properties.get("datastoreType", "")
    endpoint = properties.get("endpoint")
    found = {
        "name": name,
        "type": _FROM_AZURE.get(kind, kind),
        "description": properties.get("description"),
        "tags": properties.get("tags"),
        "properties": properties.get("properties"),
        "account_name": properties.get("accountName"),
        "container_name": properties.get("containerName"),
        "filesystem": properties.get("filesystem"),
        "file_share_name": properties.get("fileShareName"),
        "endpoint": None if endpoint == SUFFIX else endpoint,
        "protocol": properties.get("protocol"),
        "credentials": _credentials(properties.get("credentials") or {}),
    }
    return {key: value for key, value in found.items() if value is not None}


def _credentials(given: Mapping[str, Any]) -> Body | None:
    secrets = given.get("secrets") or {}
    found = {
        "account_key": secrets.get("key"),
        "sas_token": secrets.get("sasToken"),
        "client_secret": secrets.get("clientSecret"),
        "client_id": given.get("clientId"),
        "tenant_id": given.get("tenantId"),
    }
    return {key: value for key, value in found.items() if value} or None


def _filled(properties: Mapping[str, Any], definition: Mapping[str, Any]) -> Body:
    defaults = {
        "endpoint": SUFFIX,
        "protocol": definition.get("protocol", "https"),
        "serviceDataAccessAuthIdentity": "None",
        "tags": {},
        "properties": dict(definition.get("properties", {})),
    }
    return {**defaults, **{key: value for key, value in properties.items() if value is not None}}


def secret(signature: str) -> Body:
    return {"secretsType": "Sas", "sasToken": signature}


def pending_upload(address: str, signature: str, id: str) -> Body:
    return {
        "pendingUploadId": id,
        "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": {
            "blobUri": address,
            "storageAccountArmId": "",
            "credential": {"credentialType": "SAS", "sasUri": f"{address}?{signature}"},
        },
    }
