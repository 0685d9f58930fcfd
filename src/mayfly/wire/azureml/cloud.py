"""How a client finds this server in the place of Azure: the description of a cloud, and of a workspace's services."""

from __future__ import annotations

from mayfly.wire.azureml.resources import Body

NAME = "Mayfly"
SUFFIX = "mayfly.internal"
"""Ends the names of the cloud's services. Nobody looks them up: they only stand in addresses that lead to this server."""
AUDIENCE = f"https://ml.azure.{SUFFIX}"
"""What the SDK makes of the portal's address, and asks tokens for."""


def metadata(base: str) -> list[Body]:
    """`base` is the server's own address, which the SDK looks for in the address it had this from."""
    return [
        {
            "name": NAME,
            "portal": f"https://portal.azure.{SUFFIX}/",
            "resourceManager": f"{base}/",
            "authentication": {
                "loginEndpoint": f"{base}/login/",
                "audiences": [f"{base}/"],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "suffixes": {"storage": SUFFIX, "keyVaultDns": f"vault.{SUFFIX}", "acrLoginServer": f"registry.{SUFFIX}"},
        }
    ]


def services(base: str) -> Body:
    """Where the services beside the resource manager are: all here."""
    names = ("api", "catalog", "experimentation", "history", "hyperdrive", "labeling", "modelmanagement", "pipelines")
    return {**dict.fromkeys((*names, "datafactory", "notebook", "studio"), base), "inferencing": ""}
