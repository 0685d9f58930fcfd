"""A client of the doors shaped as Azure's, in a workspace of its own that the first write makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from mayfly.testing.serving import House

PROVIDER = "providers/Microsoft.MachineLearningServices"
WS = f"/subscriptions/sub/resourceGroups/rg/{PROVIDER}/workspaces/ws"


def token(house: House, resource: str = "https://management.azure.com", **query: Any) -> httpx.Response:
    with house.client(headers={"X-IDENTITY-HEADER": house.token("user", "ann")}) as client:
        return client.get("/msi/token", params={"resource": resource, "api-version": "2019-08-01", **query})


@contextmanager
def signed_in(house: House) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token(house).json()['access_token']}"}
    with house.client(headers=headers) as client:
        yield client


def command(**properties: Any) -> dict[str, Any]:
    told = {
        "jobType": "Command",
        "command": "echo ${{inputs.rate}}",
        "environmentId": "azureml://registries/azureml/environments/sklearn-1.5/versions/1",
        "experimentName": "first",
        "inputs": {"rate": {"jobInputType": "literal", "value": "0.1"}},
        "limits": {"jobLimitsType": "Command", "timeout": "PT1H"},
        "services": {},
        "unknownToUs": {"kept": True},
    }
    return {"properties": {**told, **properties}}
