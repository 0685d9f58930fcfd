"""Addresses of storage elsewhere: the many ways to write one, brought to the few that storage is read by. Pure."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from mayfly.domain.references import has_password, inner, shown
from mayfly.kit.errors import Invalid

_AZURE = re.compile(
    r"(?:wasbs?|abfss?)://(?P<container>[^@/]+)@(?P<account>[a-z0-9]+)\.(?:blob|dfs)\.(?P<suffix>[a-z0-9.]+)"
    r"(?:/(?P<path>.*))?\Z",
    re.IGNORECASE | re.DOTALL,
)
_BLOB_HOST = re.compile(
    r"https?://(?P<account>[a-z0-9]+)\.(?:blob|dfs)\.core\.windows\.net/(?P<container>[^/?]+)(?:/(?P<path>[^?]*))?\Z",
    re.IGNORECASE,
)
_SIGNED = re.compile(
    r"[?&](sig|x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|awsaccesskeyid|signature"
    r"|access_token|token|api_?key|key|secret|password)=",
    re.IGNORECASE,
)


def check_public(address: str) -> None:
    """Raises Invalid `AddressHasCredentials` when a key stands in the address itself, where everybody who sees the job
    would see it."""
    if has_password(address) or _SIGNED.search(address):
        raise Invalid(
            "AddressHasCredentials",
            f"'{shown(address)}' has a password or key in the address, where everybody who sees the job would see it.",
            remedy="Keep the key in a datastore (mayfly datastore create) and write azureml://datastores/NAME/paths/PATH.",
        )


def canonical(address: str, *, folder: bool) -> str:
    """`http(s)://…` as it is, `s3://bucket/…`, `gs://bucket/…`, `az://account/container/…`; no slash at the end of the
    last three. `folder`: an https address of a container of Azure's is read through the container, which can be listed.
    Raises Invalid `AddressInvalid`, `PathLeavesDatastore`."""
    scheme = address.partition("://")[0].lower()
    if scheme in ("http", "https"):
        match = _BLOB_HOST.match(address) if folder else None
        if match is not None:
            path = inner(unquote(match["path"] or ""), address)
            return join(f"az://{match['account']}/{match['container']}", path)
        if not urlsplit(address).hostname:
            raise _invalid(address, "names no host")
        return quote(address, safe="%/:=&?~#+!$,;'@()*[]")
    if scheme in ("wasb", "wasbs", "abfs", "abfss"):
        match = _AZURE.match(address)
        if match is None:
            raise _invalid(address, "is not of the form wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PATH")
        return join(f"az://{match['account'].lower()}/{match['container']}", inner(match["path"] or "", address))
    if scheme == "adl":
        raise Invalid(
            "AddressInvalid",
            f"'{shown(address)}' lies in Azure Data Lake Gen1, which Azure itself has closed.",
            remedy="Write its Gen2 address: abfss://FILESYSTEM@ACCOUNT.dfs.core.windows.net/PATH.",
        )
    if scheme in ("s3", "gs", "az"):
        bucket, _, path = address.partition("://")[2].partition("/")
        if not bucket:
            raise _invalid(address, "names no bucket")
        return join(f"{scheme}://{bucket}", inner(path, address))
    raise _invalid(address, "is no storage that is read here")


def join(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{path}" if path else base.rstrip("/")


def within(base: str, address: str) -> bool:
    return address == base or address.startswith(base.rstrip("/") + "/")


def _invalid(address: str, why: str) -> Invalid:
    return Invalid("AddressInvalid", f"'{shown(address)}' {why}.")
