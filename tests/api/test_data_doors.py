"""A bucket of a real S3 server that knows its users, through the doors of nodes: read, written, and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import httpx
import msgspec
import pytest
from moto.server import ThreadedMotoServer

from mayfly.kit.errors import Forbidden
from mayfly.services import datastores, submit
from mayfly.testing.agent import Part, parts_of
from mayfly.testing.serving import House
from mayfly.testing.world import HERE
from mayfly.wire import agent as wire


@dataclass(frozen=True)
class Bucket:
    endpoint: str
    keys: dict[str, str]
    client: Any
    """Of somebody who may do everything."""

    def datastore(self, name: str, **keys: str) -> dict[str, Any]:
        given = {**self.keys, **keys}
        return {"name": name, "type": "s3", "bucket": "lake", "endpoint_url": self.endpoint, "credentials": given}


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    own = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    nobody = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    with httpx.Client(trust_env=False) as door:  # its memory is the process's
        door.post(f"{endpoint}/moto-api/reset").raise_for_status()
    people = boto3.client("iam", **own, **nobody)
    people.create_user(UserName="ann")
    made = people.create_access_key(UserName="ann")["AccessKey"]
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    people.put_user_policy(UserName="ann", PolicyName="all", PolicyDocument=json.dumps(everything))
    keys = {"access_key_id": made["AccessKeyId"], "secret_access_key": made["SecretAccessKey"]}
    client = boto3.client(
        "s3", **own, aws_access_key_id=keys["access_key_id"], aws_secret_access_key=keys["secret_access_key"]
    )
    client.create_bucket(Bucket="lake")
    client.put_object(Bucket="lake", Key="in/ü a.csv", Body=b"0123456789")
    with httpx.Client(trust_env=False) as door:  # from here on it asks everybody who they are
        door.post(f"{endpoint}/moto-api/reset-auth", content="0").raise_for_status()
    yield Bucket(endpoint, keys, client)
    with httpx.Client(trust_env=False) as door:
        door.post(f"{endpoint}/moto-api/reset-auth", content="inf")
    server.stop()


def start(house: House, name: str = "one", **changes: Any) -> Part:
    sent = house.stage.submission(name=name, resources={"instance_type": "local_1"}, **changes)
    row, _ = submit.submit(house.stage.world, "ann", HERE, sent)
    house.stage.turn()
    return parts_of(house.stage.world, row.job.id, 1)[0]


def test_a_bucket_is_read_and_written_for_a_job(house: House, bucket: Bucket) -> None:
    datastores.create(house.stage.world, HERE, bucket.datastore("lake"))
    part = start(
        house,
        inputs={"x": {"path": "azureml://datastores/lake/paths/in"}},
        outputs={"o": {"path": "azureml://datastores/lake/paths/out/${{name}}"}},
    )
    ask = msgspec.json.encode(wire.DataAsk(fence=part.fence, input="x"))
    fence = {"job": part.fence.job, "attempt": part.fence.attempt, "epoch": part.fence.epoch}
    with house.client("node", part.agent.node) as node:
        (entry,) = node.post("/agent/v1/data/list", content=ask).json()["entries"]
        assert (entry["path"], entry["size"]) == ("ü a.csv", 10)
        at = {**fence, "input": "x", "path": entry["path"], "version": entry["version"]}
        assert node.get("/agent/v1/data/read", params={**at, "offset": 3, "length": 4}).content == b"3456"
        bucket.client.put_object(Bucket="lake", Key="in/ü a.csv", Body=b"other")
        changed = node.get("/agent/v1/data/read", params=at)
        assert (changed.status_code, changed.json()["error"]["code"]) == (409, "DataChanged")
        tree = house.stage.upload(**{"deep/m.bin": b"model"})
        told = msgspec.json.encode(wire.Publish(fence=part.fence, rank=0, name="o", tree=tree))
        for _ in range(2):
            assert node.post("/agent/v1/outputs/publish", content=told).status_code == 200
    assert bucket.client.get_object(Bucket="lake", Key="out/one/deep/m.bin")["Body"].read() == b"model"
    with house.client("node", "node_other") as other:
        assert other.post("/agent/v1/data/list", content=ask).status_code == 403
        assert other.post("/agent/v1/outputs/publish", content=told).status_code == 403


@pytest.mark.parametrize("section", ["inputs", "outputs"])
@pytest.mark.parametrize("wrong", [{"secret_access_key": "hunter2"}, {"access_key_id": "AKIAHUNTER2HUNTER2XX"}])
def test_a_wrong_key_is_refused_at_submit(house: House, bucket: Bucket, section: str, wrong: dict[str, str]) -> None:
    datastores.create(house.stage.world, HERE, bucket.datastore("lake", **wrong))
    with pytest.raises(Forbidden) as caught:
        start(house, **{section: {"x": {"path": "azureml://datastores/lake/paths/in"}}})
    assert (caught.value.code, caught.value.pointer) == ("DataForbidden", f"/{section}/x/path")
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__!r}".lower()


def test_a_key_that_is_taken_back_stops_a_job_with_these_words(house: House, bucket: Bucket) -> None:
    datastores.create(house.stage.world, HERE, bucket.datastore("lake"))
    part = start(house, inputs={"x": {"path": "azureml://datastores/lake/paths/in"}})
    datastores.create(house.stage.world, HERE, bucket.datastore("lake", secret_access_key="hunter2"))
    ask = msgspec.json.encode(wire.DataAsk(fence=part.fence, input="x"))
    with house.client("node", part.agent.node) as node:
        answer = node.post("/agent/v1/data/list", content=ask)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "DataForbidden")
        datastores.delete(house.stage.world, HERE, "lake")
        answer = node.post("/agent/v1/data/list", content=ask)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "DatastoreNotFound")
