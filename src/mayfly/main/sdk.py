"""`mayfly.connect()`: Azure's own client of this machine's server, for a script or notebook that was started without
`mayfly exec`."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from mayfly.client import azure, configuration, connecting
from mayfly.kit.errors import Invalid, MayflyError, Refused
from mayfly.main.making import SteadyClock


def connect(workspace: str = "", resource_group: str = "", subscription: str = "", **more: Any) -> Any:
    """As `mayfly.connect`."""
    try:
        return _connect({"subscription": subscription, "resource_group": resource_group, "workspace": workspace}, more)
    except MayflyError as error:
        if error.remedy:
            error.add_note(error.remedy)
        raise


def _connect(names: dict[str, str], more: dict[str, Any]) -> Any:
    try:
        ml = importlib.import_module("azure.ai.ml")  # an extra of its own: the server never needs it
        identity = importlib.import_module("azure.identity")
    except ImportError as error:
        raise Invalid(
            "SdkMissing", f"Azure's SDK is not installed here: {error}.", remedy="pip install 'mayfly-ml[sdk]'"
        ) from error
    settings = connecting.read_settings(os.environ)
    if settings.remote:
        raise Refused(
            "RemoteUnsupported",
            "mayfly.connect() speaks to the server of this machine only.",
            remedy="Unset MAYFLY_SERVER, or run the script on the server's machine.",
        )
    record = connecting.local(settings, SteadyClock(), lambda said: print(said, file=sys.stderr))  # noqa: T201
    found = azure.variables(record, os.environ, settings.folder / "tls")
    for name in found.dropped:
        del os.environ[name]
    os.environ.update(found.values)
    defaults = configuration.load(settings.folder).defaults
    chosen = {
        key: given or os.environ.get(f"MAYFLY_{key.upper()}", "") or getattr(defaults, key)
        for key, given in names.items()
    }
    return ml.MLClient(
        identity.DefaultAzureCredential(),
        chosen["subscription"],
        chosen["resource_group"],
        chosen["workspace"],
        **more,
    )
