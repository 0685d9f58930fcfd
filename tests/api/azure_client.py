"""A client of the doors shaped as Azure's, in a workspace of its own that the first write makes. MFE_JSON may name Azure's
public documents: every answer is then held to what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from azure_document import Document

from mayfly.testing.serving import House

DOCUMENTS = [Document(Path(name)) for name in os.environ.get("MFE_JSON", "").split(os.pathsep) if name]
PROVIDER = "providers/Microsoft.MachineLearningServices"
WS = f"/subscriptions/sub/resourceGroups/rg/{PROVIDER}/workspaces/ws"


def token(house: House, resource: str = "https://management.azure.com", **query: Any) -> httpx.Response:
    with house.client(headers={"X-IDENTITY-HEADER": house.token("user", "ann")}) as client:
        return client.get("/msi/token", params={"resource": resource, "api-version": "2019-08-01", **query})


@contextmanager
def signed_in(house: House) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token(house).json()['access_token']}"}
    faults: list[str] = []

    def check(response: httpx.Response) -> None:
        response.read()
        if response.is_success and response.content:
            request = response.request
            for document in DOCUMENTS:
                found = document.faults(request.method, request.url.path, response.status_code, response.json())
                faults.extend(found or ())

    with house.client(headers=headers, event_hooks={"response": [check] if DOCUMENTS else []}) as client:
        yield client
    assert not faults, "\n".join(faults)


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
