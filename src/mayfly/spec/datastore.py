"""A datastore as a person writes it: Azure's own YAML for Azure's storage, and the like of it for a folder, S3 and GCS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import BeforeValidator

from mayfly.kit.errors import Fault, Invalid
from mayfly.spec import faults
from mayfly.spec.fields import Filled, Labels, Shape, choice

TYPES = ("azure_blob", "azure_data_lake_gen2", "folder", "s3", "gcs")
NOT_YET = ("azure_file", "azure_data_lake_gen1", "one_lake", "hdfs")


class Credentials(Shape):
    account_key: Filled | None = None
    sas_token: Filled | None = None
    tenant_id: Filled | None = None
    client_id: Filled | None = None
    client_secret: Filled | None = None
    resource_url: str | None = None
    authority_url: str | None = None
    access_key_id: Filled | None = None
    secret_access_key: Filled | None = None
    session_token: Filled | None = None
    service_account_key: Filled | None = None
    """The key file's JSON text."""


class Datastore(Shape):
    name: Filled
    type: Annotated[str, BeforeValidator(choice(*TYPES, *NOT_YET))]
    description: str | None = None
    tags: Labels = {}
    properties: Labels = {}
    account_name: Filled | None = None
    container_name: Filled | None = None
    filesystem: Filled | None = None
    file_share_name: Filled | None = None
    endpoint: Filled | None = None
    protocol: Annotated[str, BeforeValidator(choice("https", "http", "wasbs", "abfss"))] = "https"
    path: Filled | None = None
    bucket: Filled | None = None
    prefix: str | None = None
    region: Filled | None = None
    endpoint_url: Filled | None = None
    credentials: Credentials = Credentials()

    @property
    def address(self) -> str:
        """What its paths are below, as storage is read by."""
        if self.type == "folder":
            return f"file://{(self.path or '').rstrip('/')}"
        if self.type in ("s3", "gcs"):
            scheme = {"s3": "s3", "gcs": "gs"}[self.type]
            prefix = (self.prefix or "").strip("/")
            return f"{scheme}://{self.bucket}" + (f"/{prefix}" if prefix else "")
        return f"az://{self.account_name}/{self.container_name or self.filesystem}"

    @property
    def options(self) -> dict[str, str]:
        """What storage must be told beside the address; nothing secret."""
        if self.type == "s3":
            given = {"region": self.region, "endpoint": self.endpoint_url}
        elif self.type.startswith("azure"):
            given = {"endpoint": self._azure_endpoint}
        else:
            given = {}
        return {key: value for key, value in given.items() if value}

    @property
    def secrets(self) -> dict[str, str]:
        """The credentials, as the storage's own clients name them."""
        given = self.credentials.model_dump(exclude_none=True, exclude={"resource_url", "authority_url"})
        if "sas_token" in given:
            given["sas_key"] = given.pop("sas_token").lstrip("?")
        return given

    @property
    def body(self) -> dict[str, Any]:
        """What may be shown."""
        return self.model_dump(exclude_none=True, exclude_defaults=True, exclude={"credentials"})

    @property
    def _azure_endpoint(self) -> str | None:
        if self.endpoint is None or self.endpoint == "core.windows.net":
            return None
        scheme = "http" if self.protocol == "http" else "https"
        return self.endpoint if "://" in self.endpoint else f"{scheme}://{self.account_name}.blob.{self.endpoint}"


_NEEDED = {
    "azure_blob": ("account_name", "container_name"),
    "azure_data_lake_gen2": ("account_name", "filesystem"),
    "folder": ("path",),
    "s3": ("bucket",),
    "gcs": ("bucket",),
}
KEYS: dict[tuple[str, ...], type[Shape]] = {(): Datastore, ("credentials",): Credentials}


def parse(definition: Mapping[str, Any]) -> Datastore:
    """Raises Invalid with every fault, each with a pointer."""
    data = {key: value for key, value in definition.items() if key not in ("$schema", "id") and value is not None}
    model, found = faults.check(Datastore, data, keys=KEYS)
    store = cast(Datastore, model)
    if not found:
        found = list(_together(store))
    if found:
        only = found[0]
        if len(found) == 1:
            raise Invalid(only.code, only.message, remedy=only.remedy, pointer=only.pointer, faults=found)
        raise Invalid("DatastoreInvalid", f"{len(found)} things are wrong with this datastore.", faults=found)
    return store


def _together(store: Datastore):
    if store.type in NOT_YET:
        yield Fault(
            "DatastoreTypeNotSupported",
            f"A datastore of type {store.type} cannot be read here.",
            "/type",
            f"Mount it on the server's machine and use type 'folder', or one of {', '.join(TYPES)}.",
        )
        return
    for key in _NEEDED[store.type]:
        if getattr(store, key) is None:
            yield Fault("MissingKey", f"'{key}' is missing: a datastore of type {store.type} needs it.", f"/{key}")
    path = store.path if store.type == "folder" else None
    if path is not None and (not path.startswith("/") or ".." in path.split("/")):
        yield Fault(
            "InvalidValue",
            f"'{path}' is no absolute path of the server's machine.",
            "/path",
            "Write it from the root, without '..'.",
        )
