"""Every form of a reference, and what is none (semantics §2)."""

from __future__ import annotations

import pytest

from mayfly.domain import references
from mayfly.domain.references import (
    AssetKind,
    AssetReference,
    DatastoreReference,
    JobOutputReference,
    LocalReference,
    RegistryReference,
    RemoteReference,
    RunReference,
    WorkspaceNames,
)
from mayfly.kit.errors import Invalid

ELSEWHERE = WorkspaceNames("s-1", "rg", "team")
ARM = "subscriptions/s-1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/team"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("azureml:iris:3", AssetReference("iris", "3")),
        ("azureml:iris@latest", AssetReference("iris", label="latest")),
        ("azureml:iris", AssetReference("iris")),
        ("AZUREML:iris:1.0-b", AssetReference("iris", "1.0-b")),
        (f"azureml:/{ARM}/data/iris/versions/3", AssetReference("iris", "3", None, AssetKind.DATA, ELSEWHERE)),
        (f"/{ARM}/models/net/versions/1", AssetReference("net", "1", None, AssetKind.MODEL, ELSEWHERE)),
        (f"azureml://{ARM}/environments/e/labels/latest", AssetReference("e", None, "latest", AssetKind.ENVIRONMENT, ELSEWHERE)),
        ("azureml://locations/west/workspaces/1-2/data/iris/versions/3", AssetReference("iris", "3", None, AssetKind.DATA)),
        ("azureml://registries/azureml/environments/sk/labels/latest", RegistryReference("azureml", AssetKind.ENVIRONMENT, "sk", None, "latest")),
        ("azureml://registries/r/data/d/versions/2", RegistryReference("r", AssetKind.DATA, "d", "2")),
        ("azureml://datastores/blob/paths/a/b.csv", DatastoreReference("blob", "a/b.csv")),
        ("azureml://datastores/blob/paths//a//b/./", DatastoreReference("blob", "a/b")),
        ("azureml://datastores/blob/paths/", DatastoreReference("blob", "")),
        ("azureml://datastores/blob", DatastoreReference("blob", "")),
        ("azureml:azureml://datastores/blob/paths/x", DatastoreReference("blob", "x")),
        ("azureml://subscriptions/s-1/resourcegroups/rg/workspaces/team/datastores/b/paths/x y/ü", DatastoreReference("b", "x y/ü", ELSEWHERE)),
        ("azureml://jobs/j/outputs/o", JobOutputReference("j", "o")),
        ("azureml://jobs/j/outputs/artifacts/paths/outputs/model/", JobOutputReference("j", "artifacts", "outputs/model")),
        ("azureml://jobs/j/outputs/o/m.pkl", JobOutputReference("j", "o", "m.pkl")),
        ("runs:/abc/outputs/mlflow-model/", RunReference("abc", "outputs/mlflow-model")),
        ("models:/net/4", AssetReference("net", "4", None, AssetKind.MODEL)),
        ("models:/net@champion", AssetReference("net", None, "champion", AssetKind.MODEL)),
        ("models:/net/latest", AssetReference("net", None, "latest", AssetKind.MODEL)),
        ("HTTPS://host/a?sig=1", RemoteReference("https://host/a?sig=1")),
        ("azureml:wasbs://c@acct.blob.core.windows.net/d", RemoteReference("wasbs://c@acct.blob.core.windows.net/d")),
        ("s3://bucket/key with space", RemoteReference("s3://bucket/key with space")),
        ("file:///tmp/x", RemoteReference("file:///tmp/x")),
        ("./data", LocalReference("./data")),
        ("file:./env.yml", LocalReference("./env.yml")),
        ("C:/data", LocalReference("C:/data")),
    ],
)  # fmt: skip
def test_forms(text: str, meant: references.Reference) -> None:
    assert references.parse(text) == meant


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("azureml:iris:1:2", "ReferenceInvalid"),
        ("azureml:", "ReferenceInvalid"),
        ("azureml:a/b:1", "ReferenceInvalid"),
        ("azureml://datastore/blob/paths/x", "ReferenceInvalid"),
        ("azureml://datastores/blob/paths/../../etc", "PathLeavesDatastore"),
        ("azureml://datastores/blob/paths/a/%2e%2E/b", "PathLeavesDatastore"),
        ("azureml://jobs/j/outputs/o/paths/../../x", "PathLeavesDatastore"),
        ("azureml://registries/r/dataset/d/versions/1", "ReferenceInvalid"),
        (f"azureml:/{ARM}/things/x/versions/1", "ReferenceInvalid"),
        ("azureml:/subscriptions/s/nothing", "ReferenceInvalid"),
        ("runs:/", "ReferenceInvalid"),
        ("models:/a/1/2", "ReferenceInvalid"),
        ("hdfs://x/y", "ReferenceInvalid"),
        ("htps://x/y", "ReferenceInvalid"),
    ],
)
def test_what_is_none_says_so(text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        references.parse(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ann:pw@host/a?sig=secret", "https://host/a?…"),
        ("wasbs://c@acct.blob.core.windows.net/d", "wasbs://c@acct.blob.core.windows.net/d"),
        ("s3://key:secret@bucket/x", "s3://bucket/x"),
        ("wasbs://c:pw@acct/x", "wasbs://***@acct/x"),
        ("./here?", "./here?"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert references.shown(address) == shown
    assert references.has_password(address) is ("pw" in address or "secret@" in address)
