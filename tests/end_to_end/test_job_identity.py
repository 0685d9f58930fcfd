"""Who a job is where it speaks for itself: its submitter or its workspace, by the protocol of managed identities, for as long
as it runs; by hand inside of a sandbox, and with Azure's unmodified packages."""

from __future__ import annotations

import json
import ssl
import sysconfig

import httpx
import pytest

from mayfly.testing.embedded import HELLO, Embedded, Make

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

BY_HAND = """
import json, os, ssl, urllib.error, urllib.request
env = os.environ
def get(url, body=None, method=None, **headers):
    context = ssl.create_default_context(cafile=env["REQUESTS_CA_BUNDLE"]) if url.startswith("https") else None
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    try:
        return json.load(urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), context=context))
    except urllib.error.HTTPError as error:
        return {"status": error.code, **json.load(error)}
def token(**query):
    more = "".join(f"&{key}={value}" for key, value in query.items())
    url = env["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01&resource=https://management.azure.com" + more
    return get(url, **{"X-IDENTITY-HEADER": env["IDENTITY_HEADER"]})
told = json.load(open("../config.json"))
base = get(env["ARM_CLOUD_METADATA_URL"])[0]["resourceManager"].rstrip("/")
found = {"own": token(), "foreign": token(client_id="somebody"), "wrong": get(env["IDENTITY_ENDPOINT"], secret="mfa.x.y")}
bearer = {"Authorization": "Bearer " + found["own"]["access_token"]}
for key, name in (("here", told["workspace_name"]), ("there", "other")):
    path = f"/subscriptions/{told['subscription_id']}/resourceGroups/{told['resource_group']}"
    found[key] = get(f"{base}{path}/providers/Microsoft.MachineLearningServices/workspaces/{name}", **bearer)
here, there = found["here"].get("id", ""), found["here"].get("id", "").replace("/default", "/other")
store = f"{base}{here}/datastores/workspaceblobstore"
told = get(store, **bearer)["properties"]
sas = get(f"{store}/listSecrets", {}, **bearer)["sasToken"]
blobs = f"https://{told['accountName']}.blob.mayfly.internal/{told['containerName']}?restype=container&comp=list&{sas}"
context = ssl.create_default_context(cafile=env["REQUESTS_CA_BUNDLE"])
found["listed"] = urllib.request.urlopen(blobs, context=context).status
data = {"properties": {"dataType": "uri_file", "dataUri": f"azureml:/{there}/data/rows/versions/1".replace("/data", "%2Fdata")}}
found["named"] = get(f"{base}{here}/data/mine/versions/1", data, "PUT", **bearer)
json.dump({**found, "base": base, "blobs": blobs}, open("outputs/found.json", "w"))
"""

BY_THE_SDK = """
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
ml = MLClient.from_config(DefaultAzureCredential())
print("in", ml.workspace_name, [str(one.status) for one in ml.jobs.list()])
assert ManagedIdentityCredential().get_token("https://ml.azure.com/.default").token.startswith("eyJ")
print(ml.datastores.get_default().name)
"""


def run(one: Embedded, script: str, **more: object) -> dict:
    path = one.write({**HELLO, "command": "python script.py", "code": ".", **more})
    (path.parent / "script.py").write_text(script)
    name = one.json("job", "create", "-f", str(path))["name"]
    job = one.wait(name, ("Completed", "Failed"), 120)
    assert job["status"] == "Completed", one.log(name)
    return job


def found(one: Embedded, job: dict) -> dict:
    place = one.place / job["name"]
    said = one.run("job", "download", "-n", job["name"], "--download-path", str(place))
    assert said.status == 0, said.err
    return json.loads(next(place.rglob("found.json")).read_text(encoding="utf-8"))


def test_a_job_is_its_submitter_or_its_workspace_and_only_while_it_runs(fresh: Make) -> None:
    one = fresh()
    one.start()
    mine = found(one, run(one, BY_HAND))
    assert mine["own"]["token_type"] == "Bearer" and mine["here"]["name"] == "default" and "name" in mine["there"]
    assert (mine["foreign"]["status"], mine["wrong"]["status"]) == (400, 401)
    assert "identity: {type: managed}" in mine["foreign"]["message"]
    trusted = ssl.create_default_context(cafile=str(one.folder / "tls" / "authority.pem"))
    bearer = {"Authorization": f"Bearer {mine['own']['access_token']}"}
    after = httpx.get(mine["base"] + mine["here"]["id"], headers=bearer, verify=trusted, trust_env=False)
    assert (after.status_code, after.json()["error"]["code"]) == (401, "TokenExpired")
    assert mine["listed"] == 200 and "si=" in mine["blobs"]
    assert httpx.get(mine["blobs"], verify=trusted, trust_env=False).status_code == 403
    managed = found(one, run(one, BY_HAND, identity={"type": "managed"}))
    assert managed["here"]["name"] == "default"
    assert (managed["there"]["status"], managed["there"]["error"]["code"]) == (403, "IdentityOfAWorkspace")
    assert (managed["named"]["status"], managed["named"]["error"]["code"]) == (403, "IdentityOfAWorkspace")
    own = next(iter(managed["here"]["identity"]["userAssignedIdentities"].values()))["clientId"]
    assert managed["foreign"]["status"] == 400 and own in managed["foreign"]["message"]


def test_azures_packages_in_a_job_find_its_workspace_and_its_identity(fresh: Make) -> None:
    one = fresh()
    one.start(MAYFLY_SANDBOX_WITHOUT="bubblewrap namespaces uid")  # so that it sees the packages of this test
    job = run(one, BY_THE_SDK, environment_variables={"PYTHONPATH": sysconfig.get_path("purelib")})
    log = one.log(job["name"])
    assert "in default" in log and "workspaceblobstore" in log
