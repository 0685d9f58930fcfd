"""The chain that Azure's clients walk to this server, link by link, as they walk it; for `mayfly doctor`."""

from __future__ import annotations

import json
import os
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mayfly.client import azure
from mayfly.client.azure import FOREIGN
from mayfly.client.home import ServerRecord
from mayfly.kit.errors import MayflyError
from mayfly.wire.azureml import cloud
from mayfly.wire.azureml.resources import workspace_id

ANEW = "Type `mayfly down`, then `mayfly up`: running jobs go on."
_WITHIN_S = 20
_NOT_YET, _OVER, _OTHER_NAME = 9, 10, 62
"""What OpenSSL calls them, in `verify_code`."""


class Broken(Exception):
    """A link does not hold: which, why, and what mends it."""

    def __init__(self, link: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.link, self.message, self.remedy = link, message, remedy


def walk(record: ServerRecord, names: tuple[str, str, str], environ: Mapping[str, str], folder: Path) -> str:
    """What was found at its end. `names`: a workspace's, with its subscription and group. Raises Broken with the first
    link that does not hold: listener, authority, certificates, metadata, token, TLS, workspace or blobs."""
    if not record.secure_url:
        raise Broken("listener", f"The server at {record.url} does not listen for Azure's clients.", ANEW)
    _authority(record.authority, folder)
    try:
        bundle = azure.merged(record.authority, environ, folder / "tls")
        context = ssl.create_default_context(cafile=str(bundle))
    except MayflyError as error:
        raise Broken("certificates", error.message, error.remedy or "Mend the file.") from error
    except (OSError, ssl.SSLError) as error:
        raise Broken("certificates", f"The merged certificates cannot be used: {error}.", ANEW) from error
    caller = _Caller(context)
    base = _metadata(record, caller)
    bearer = {"Authorization": f"Bearer {_token(record, caller)}"}
    place = base + workspace_id(*names)
    caller.ask("workspace", place, bearer)
    _blobs(place, bearer, caller)
    foreign = [name for name in FOREIGN if environ.get(name)]
    beside = (
        f"; {', '.join(foreign)} would lead to the real Azure, and `mayfly exec` leaves them out" if foreign else ""
    )
    return f"certificates, metadata, token, workspace and blobs answer at {base}{beside}"


def _authority(path: Path, folder: Path) -> None:
    remedy = f"Remove {path.parent}. {ANEW}"
    try:
        path.read_bytes()
        mode = stat.S_IMODE(path.with_suffix(".key").stat().st_mode)
    except OSError as error:
        message = f"The certificate authority cannot be read: {error.strerror or error} ({path})."
        raise Broken("authority", message, remedy) from error
    if os.name == "posix" and mode & 0o077:
        raise Broken(
            "authority",
            f"Others may read the authority's key (mode {mode:o}), and with it stand for this server.",
            f"Remove {folder / 'tls'}. {ANEW}",
        )


def _metadata(record: ServerRecord, caller: _Caller) -> str:
    address = azure.metadata_address(record)
    told = caller.ask("metadata", address, {})
    mine = [one for one in told if isinstance(one, dict) and one.get("name") == cloud.NAME]
    base = str(mine[0].get("resourceManager", "")).rstrip("/") if mine else ""
    if base != record.secure_url:
        raise Broken("metadata", f"{address} describes another cloud than {record.secure_url}.", ANEW)
    return base


def _token(record: ServerRecord, caller: _Caller) -> str:
    try:
        headers = {"X-IDENTITY-HEADER": record.token()}
    except OSError as error:
        raise Broken("token", f"{record.token_file} cannot be read: {error.strerror or error}.", ANEW) from error
    told = caller.ask("token", f"{record.url}/msi/token?resource={quote(record.secure_url, safe='')}", headers)
    return str(told.get("access_token", ""))


def _blobs(place: str, bearer: Mapping[str, str], caller: _Caller) -> None:
    store = f"{place}/datastores/workspaceblobstore"
    told = caller.ask("blobs", store, bearer)["properties"]
    signature = caller.ask("blobs", f"{store}/listSecrets", bearer, b"{}")["sasToken"]
    address = f"https://{told['accountName']}.blob.{cloud.SUFFIX}/{told['containerName']}"
    query = "restype=container&comp=list&maxresults=1"
    caller.call("blobs", f"{address}?{query}&{signature}", {"x-ms-version": "2021-08-06"})


class _Caller:
    """Calls without a proxy, as the variables of `mayfly exec` have it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        self._open: Callable[..., Any] = urllib.request.build_opener(*handlers).open

    def ask(self, link: str, address: str, headers: Mapping[str, str], body: bytes | None = None) -> Any:
        """What it answers, as JSON. Raises Broken."""
        content = self.call(link, address, {"Content-Type": "application/json", **headers}, body)
        try:
            return json.loads(content)
        except ValueError as error:
            raise Broken(link, f"{_shown(address)} answers no JSON: somebody else has its port?", ANEW) from error

    def call(self, link: str, address: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
        try:
            with self._open(urllib.request.Request(address, body, dict(headers)), timeout=_WITHIN_S) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            words = error.read(2000).decode(errors="replace")
            with suppress(ValueError, KeyError, TypeError):
                words = json.loads(words)["error"]["message"]
            raise Broken(link, f"{_shown(address)} answers {error.code}: {words[:300]}", ANEW) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError):
                raise Broken("TLS", *_distrust(reason)) from error
            raise Broken(link, f"{_shown(address)} does not answer: {reason}.", ANEW) from error


def _distrust(error: ssl.SSLError) -> tuple[str, str]:
    """Why a certificate is not taken, and what mends it."""
    code, now = getattr(error, "verify_code", 0), datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    if code in (_NOT_YET, _OVER):
        word = "is not valid yet" if code == _NOT_YET else "has expired"
        return f"The server's certificate {word}, by this machine's clock ({now} UTC).", f"Set the clock right. {ANEW}"
    if code == _OTHER_NAME:
        return f"The server's certificate is for another name: {error}.", f"Call it by 127.0.0.1 or localhost. {ANEW}"
    return f"The server's certificate is not trusted: {error}.", ANEW


def _shown(address: str) -> str:
    """Without what is signed into its query."""
    return address.partition("?")[0]
