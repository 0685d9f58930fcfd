"""Object stores: S3, Google Cloud Storage and Azure Blob (with Data Lake Gen2), through obstore."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from mayfly.kit.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from mayfly.ports.storage import Entry, Place

_CHUNK = 1 << 20
_TRIES = 5
_MOST_STORES = 64
_OWN = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_ID", "AZURE_STORAGE_SAS_TOKEN", "AZURE_FEDERATED_TOKEN_FILE"),
}
"""What says that the server itself has credentials; without them, and without a datastore's, we are nobody."""
_SECRETS = frozenset(
    {
        "access_key_id",
        "secret_access_key",
        "session_token",
        "account_key",
        "sas_key",
        "client_secret",
        "service_account_key",
    }
)

_STATUS = re.compile(r"status code: (\d{3})")

Store = S3Store | GCSStore | AzureStore


class ObjectStorage:
    """Implements `ports.storage.Storage`. An entry's version is its ETag."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: dict[tuple[str, tuple[tuple[str, str], ...]], Store] = {}

    def is_file(self, place: Place) -> bool:
        store, key = self._open(place)
        with _told(place):
            if not key:
                next(iter(obstore.list(store, chunk_size=1)), None)
                return False
            below = next(iter(obstore.list(store, prefix=f"{key}/", chunk_size=1)), None)
            try:
                found = obstore.head(store, key)
            except FileNotFoundError:
                if not below:
                    raise
                return False
        return found["size"] > 0 or not below  # Data Lake has an empty blob for each folder

    def list(self, place: Place) -> Iterator[Entry]:
        store, key = self._open(place)
        if key and self.is_file(place):
            with _told(place):
                found = obstore.head(store, key)
            return iter([Entry(key.rpartition("/")[2], found["size"], _version(found))])
        prefix = f"{key}/" if key else ""
        with _told(place):
            found = [
                Entry(one["path"][len(prefix) :], one["size"], _version(one))
                for batch in obstore.list(store, prefix=prefix or None, chunk_size=1000)
                for one in batch
            ]
        folders = {parent for entry in found for parent in _parents(entry.path)}
        files = [entry for entry in found if entry.path and entry.path not in folders and not entry.path.endswith("/")]
        if not files and key and not found:
            raise NotFound("DataNotFound", f"There is nothing at '{place.address}'.")
        return iter(sorted(files, key=lambda entry: entry.path))

    def read(
        self, place: Place, path: str, offset: int = 0, length: int | None = None, version: str = ""
    ) -> Iterator[bytes]:
        store, key = self._open(place)
        with _told(place):
            name, size = self._named(store, key, path, version, place)
        end = size if length is None else min(size, offset + length)
        return self._pieces(place, store, name, offset, end, version)

    def write(self, place: Place, path: str, chunks: Iterable[bytes]) -> None:
        store, key = self._open(place)
        with _told(place):
            obstore.put(store, _join(key, path), _filled(chunks))

    def remove(self, place: Place) -> None:
        store, key = self._open(place)
        with _told(place):
            for batch in obstore.list(store, prefix=f"{key}/" if key else None, chunk_size=1000):
                obstore.delete(store, [one["path"] for one in batch])
            if key:
                try:
                    obstore.delete(store, key)
                except FileNotFoundError:
                    return

    def _named(self, store: Store, key: str, path: str, version: str, place: Place) -> tuple[str, int]:
        """The object that a path below the place is, and its size; the place itself where it is one."""
        try:
            name = _join(key, path)
            found = obstore.head(store, name)
        except FileNotFoundError:
            if not key or path not in ("", key.rpartition("/")[2]):
                raise
            name = key
            found = obstore.head(store, name)
        if version and _version(found) != version:
            raise _changed(place, path)
        return name, found["size"]

    def _pieces(self, place: Place, store: Store, name: str, offset: int, end: int, version: str) -> Iterator[bytes]:
        failed = 0
        while offset < end:
            before = offset
            try:
                with _told(place):
                    result = obstore.get(store, name, options={"range": (offset, end)})
                    if version and _version(result.meta) != version:
                        raise _changed(place, name)
                    for piece in result.stream(min_chunk_size=_CHUNK):
                        data = bytes(piece)
                        offset += len(data)
                        yield data
            except Unavailable:
                failed = 0 if offset > before else failed + 1
                if failed >= _TRIES:
                    raise

    def _open(self, place: Place) -> tuple[Store, str]:
        """The store of its bucket, and the key in it. One store for each pair of bucket and credentials is kept: it
        holds the connections."""
        scheme, _, rest = place.address.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme == "az":
            container, _, key = key.partition("/")
            bucket = f"{bucket}/{container}"
        identity = (f"{scheme}://{bucket}", tuple(sorted(place.credentials.items())))
        with self._lock:
            found = self._stores.get(identity)
            if found is None:
                if len(self._stores) >= _MOST_STORES:
                    self._stores.clear()
                with _told(place):
                    found = self._stores[identity] = _store(scheme, bucket, place.credentials)
        return found, key.strip("/")


def _store(scheme: str, bucket: str, credentials: Mapping[str, str]) -> Store:
    config: dict[str, Any] = dict(credentials)
    nobody = not _SECRETS & config.keys() and not any(os.environ.get(name) for name in _OWN[scheme])
    if nobody:
        config["skip_signature"] = True
    options: dict[str, Any] = {"timeout": timedelta(seconds=60), "connect_timeout": timedelta(seconds=10)}
    if str(config.get("endpoint", "")).startswith("http://"):
        options["allow_http"] = True
    retry: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
    if scheme == "s3":
        config.setdefault("region", os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1")
        return S3Store(bucket, config=config, client_options=options, retry_config=retry)  # pyright: ignore[reportArgumentType]
    if scheme == "gs":
        return GCSStore(bucket, config=config, client_options=options, retry_config=retry)  # pyright: ignore[reportArgumentType]
    account, _, container = bucket.partition("/")
    config["account_name"] = account
    return AzureStore(container, config=config, client_options=options, retry_config=retry)  # pyright: ignore[reportArgumentType]


@contextmanager
def _told(place: Place) -> Iterator[None]:
    """What went wrong, in our words: the library's may hold a signed address."""
    where = f"'{place.address}'"
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("DataNotFound", f"There is nothing at {where}.") from _quiet(error)
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError) as error:
        raise _forbidden(place) from _quiet(error)
    except (exceptions.InvalidPathError, exceptions.UnknownConfigurationKeyError, ValueError, TypeError) as error:
        raise Invalid("AddressInvalid", f"{where} is not an address that can be used.") from _quiet(error)
    except (exceptions.BaseError, OSError) as error:
        status = _STATUS.search(str(error))  # lists give no kind of their own to what a server refuses
        if status is not None and status[1] in ("401", "403"):
            raise _forbidden(place) from _quiet(error)
        if status is not None and status[1] == "404":
            raise NotFound(
                "DataNotFound", f"There is nothing at {where}: its bucket or container is not there."
            ) from _quiet(error)
        raise Unavailable(
            "StorageUnreachable",
            f"{where} cannot be reached from the server.",
            remedy="Check the address and the server's network, or map the address to a local path (uri_map).",
        ) from _quiet(error)


def _forbidden(place: Place) -> Forbidden:
    key = "its datastore's credentials are" if _SECRETS & place.credentials.keys() else "the server's own are"
    return Forbidden(
        "DataForbidden",
        f"'{place.address}' may not be used: {key} missing, wrong, or not allowed to.",
        remedy="Give the datastore a key that may: mayfly datastore create.",
    )


def _quiet(error: BaseException) -> BaseException:
    return RuntimeError(type(error).__name__)


def _version(found: Any) -> str:
    """Azure quotes a tag in the answer to a read, and does not in a list."""
    tag = (found.get("e_tag") or "").removeprefix("W/").strip('"')
    return tag or f"{found['size']}-{found['last_modified'].timestamp()}"


def _changed(place: Place, path: str) -> Conflict:
    return Conflict("DataChanged", f"'{place.address}' has changed since it was listed ('{path}').")


def _parents(path: str) -> Iterator[str]:
    parent = path.rpartition("/")[0]
    while parent:
        yield parent
        parent = parent.rpartition("/")[0]


def _join(key: str, path: str) -> str:
    return "/".join(part for part in (key, path) if part)


def _filled(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Never quite empty, so that an empty file is one."""
    empty = True
    for chunk in chunks:
        empty = False
        yield chunk
    if empty:
        yield b""
