"""Mayfly: self-hosted serverless training compute. See docs/architecture.md for the floors."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def connect(workspace: str = "", resource_group: str = "", subscription: str = "", **more: Any) -> Any:
    """A ready `azure.ai.ml.MLClient` of this machine's server, which is started if need be. Names that are left out are
    those of MAYFLY_WORKSPACE and the like, then of the configuration file. `more` goes to MLClient.

    From then on Azure's clients in this process speak to Mayfly, by the variables that `mayfly exec` sets. Needs the extra:
    pip install 'mayfly-ml[sdk]'.
    """
    # Loaded by name, as the command line's commands are: nothing of a client is imported with the package itself.
    return import_module("mayfly.main.sdk").connect(workspace, resource_group, subscription, **more)
