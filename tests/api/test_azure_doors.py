"""The doors shaped as Azure's, from outside: who is let in, and how a client finds its way."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from azure_client import PROVIDER, WS, signed_in, token

from mayfly.testing.serving import House


@pytest.fixture
def azure(house: House) -> Iterator[httpx.Client]:
    with signed_in(house) as client:
        yield client


def test_the_way_in_is_told_to_everybody(house: House) -> None:
    with house.client(headers={}) as client:
        cloud = client.get("/metadata/endpoints?api-version=2019-05-01").json()[0]
    assert {"name", "portal", "resourceManager", "authentication", "suffixes"} <= set(cloud)


def test_an_access_token_opens_azures_doors_until_it_is_over(house: House, azure: httpx.Client) -> None:
    assert azure.get(WS).json()["properties"]["discoveryUrl"]
    assert azure.get("/mayfly/v1/server").status_code == 401
    house.stage.clock.advance(3_600_000)
    answer = azure.get(WS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "TokenExpired")


@pytest.mark.parametrize("change", ["nothing", "altered", "audience", "foreign"])
def test_no_other_token_does(house: House, change: str) -> None:
    good = token(house).json()["access_token"]
    told = {
        "nothing": "-",
        "altered": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "audience": token(house, "https://storage.azure.com").json()["access_token"],
        "foreign": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.",
    }[change]
    with house.client(headers={"Authorization": f"Bearer {told}"}) as client:
        answer = client.get(WS)
    assert answer.status_code == 401 and answer.json()["error"]["message"]


def test_tokens_are_for_known_audiences_and_for_who_shows_a_key(house: House) -> None:
    assert token(house, "https://vault.azure.net").status_code == 400
    assert token(house, "https://ml.azure.mayfly.internal").json()["resource"] == "https://ml.azure.mayfly.internal"
    assert "Leave client_id out" in token(house, client_id="somebody").json()["message"]
    with house.client(headers={"X-IDENTITY-HEADER": "guess"}) as client:
        assert client.get("/msi/token?resource=https://management.azure.com").status_code == 401


def test_a_workspace_is_described_before_the_first_write_makes_it(azure: httpx.Client) -> None:
    fresh = azure.get(WS).json()
    assert fresh["name"] == "ws" and "Not there yet" in fresh["properties"]["description"]
    assert azure.get(WS.replace("resourceGroups", "resourcegroups")).json()["id"] == fresh["id"]
    listed = azure.get(f"/subscriptions/local/resourceGroups/local/{PROVIDER}/workspaces").json()["value"]
    assert [one["name"] for one in listed] == ["default"]
    assert listed[0]["identity"]["type"] == "UserAssigned"
