"""What else a client's operations do: versions are hidden and brought back, and what is not a job is made, changed and listed."""

import json
from pathlib import Path

from asked import IMAGE, NAME, kept, ml, printed, step, texts
from azure.ai.ml import MLClient, command, dsl, load_component
from azure.ai.ml.entities import (
    AccountKeyConfiguration,
    AmlCompute,
    AzureBlobDatastore,
    CronTrigger,
    Data,
    Environment,
    JobSchedule,
    Model,
    Workspace,
)
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from watched import Watched


def versions(operations: Watched, name: str, view: str = "ActiveOnly") -> list[str]:
    return [one.version for one in operations.list(name, list_view_type=view)]


def hidden_and_back(operations: Watched, name: str, version: str) -> None:
    """A version, then all of the name."""
    operations.archive(name, version=version)
    assert version not in versions(operations, name) and version in versions(operations, name, "All")
    operations.restore(name, version=version)
    assert version in versions(operations, name)
    operations.archive(name)
    assert name not in {one.name for one in operations.list()}
    assert name in {one.name for one in operations.list(list_view_type="ArchivedOnly")}
    operations.restore(name)
    assert name in {one.name for one in operations.list()}


@step("MLClient.from_config")
def _() -> None:
    told = {"subscription_id": "sub", "resource_group": "rg", "workspace_name": NAME}
    Path("config.json").write_text(json.dumps(told), encoding="utf-8")
    assert ml.from_config(DefaultAzureCredential()).workspace_name == NAME


@step("workspaces: made, changed, listed")
def _() -> None:
    made = ml.workspaces.begin_create(Workspace(name=f"{NAME}-b", location="local", tags={"a": "b"})).result()
    assert (made.name, made.tags) == (f"{NAME}-b", {"a": "b"})
    changed = ml.workspaces.begin_update(Workspace(name=f"{NAME}-b", description="for two")).result()
    assert (changed.description, changed.tags) == ("for two", {})
    assert {NAME, f"{NAME}-b"} <= {one.name for one in ml.workspaces.list()}


@step("jobs.validate, and create_or_update of the client itself")
def _() -> None:
    job = command(command="true", environment=Environment(image=IMAGE), name="twice")
    assert ml.jobs.validate(job).passed
    assert ml.create_or_update(job).name == ml.create_or_update(job).name


@step("jobs.list by tag and by type; jobs.update and jobs.begin_delete, where the version has them")
def _() -> None:
    assert [one.name for one in ml.jobs.list(tag="team=green")] == [kept["job"]]
    assert {one.type for one in ml.jobs.list(job_type="Pipeline")} == {"pipeline"}
    if hasattr(ml.jobs, "update"):
        ml.jobs.update(kept["second"], display_name="another", tags={"team": "red"})
        assert ml.jobs.get(kept["second"]).display_name == "another"
        printed(lambda: ml.jobs.stream(kept["second"]))
        ml.jobs.begin_delete(kept["second"]).result()
        assert kept["second"] not in {one.name for one in ml.jobs.list(list_view_type="All")}


@step("a collection of more than a page")
def _() -> None:
    found = versions(ml.environments, "many")
    assert sorted(map(int, found)) == list(range(1, 102)), found


@step("environments, data, models and components: archived and restored, a version and a name")
def _() -> None:
    hidden_and_back(ml.environments, "mine", "1")
    hidden_and_back(ml.data, "rows", "1")
    hidden_and_back(ml.models, "local", "1")
    hidden_and_back(ml.components, "score_model", "1")


@step("a version that is there: the same is given again its labels, another is refused")
def _() -> None:
    again = Data(name="rows", version="1", path="rows.csv", type="uri_file", tags={"a": "b"})
    assert ml.data.create_or_update(again).tags == {"a": "b"}
    try:
        ml.data.create_or_update(Data(name="rows", version="1", path="component.yml", type="uri_file"))
    except ResourceExistsError as error:
        assert "Choose another version" in str(error)
        return
    raise AssertionError("it was replaced")


@step("models.download: of a local file and of a job's output")
def _() -> None:
    printed(lambda: ml.models.download("local", "1", download_path="models"))
    assert "import sys" in texts("models/local")[0]
    printed(lambda: ml.models.download("trained", "1", download_path="models"))
    assert texts("models/trained") == ["a model"]


@step("models: marked as evaluators")
def _() -> None:
    judge = Model(name="judge", path="project", properties={"is-evaluator": "true", "is-promptflow": "true"})
    assert ml.evaluators.create_or_update(judge).version == "1"
    assert ml.evaluators.get("judge", version="1").name == "judge" and list(ml.evaluators.list("judge"))
    printed(lambda: ml.evaluators.download("judge", "1", download_path="models"))
    assert len(texts("models/judge")) == 2


@step("components: without a version, validated, downloaded with their code")
def _() -> None:
    score = load_component("project/score.yml")
    score.version, score.command = None, f"{score.command} # again"
    assert ml.components.validate(score).passed
    assert ml.components.create_or_update(score).version == "2"
    assert ml.components.get("score_model").version == "2"
    ml.components.prepare_for_sign(load_component("component.yml", params_override=[{"code": "./data"}]))
    train = ml.components.create_or_update(load_component("component.yml"))
    printed(lambda: ml.components.download(train.name, download_path="component"))
    assert (Path("component") / "code" / "train.py").read_bytes() == Path("project/train.py").read_bytes()


@step("compute: changed, asked for its nodes, found; serverless")
def _() -> None:
    wanted = AmlCompute(name="gpu", size="Standard_DS3_v2", max_instances=4, tier="LowPriority")
    ml.begin_create_or_update(wanted).result()
    wanted.max_instances = 8
    assert ml.compute.begin_update(wanted).result().max_instances == 8
    found = ml.compute.get("gpu")
    assert (found.size, found.tier.lower(), list(ml.compute.list_nodes("gpu"))) == (
        "Standard_DS3_v2",
        "lowpriority",
        [],
    )
    assert ml.compute.get("serverless").name == "serverless"


@step("datastores: made, found, deleted; keys stay here")
def _() -> None:
    key = AccountKeyConfiguration(account_key="a2V5")
    blobs = AzureBlobDatastore(name="blobs", account_name="theirs", container_name="rows", credentials=key)
    ml.datastores.create_or_update(blobs)
    assert ml.datastores.get("blobs").account_name == "theirs"
    assert ml.datastores.get("workspaceblobstore", include_secrets=True).credentials.sas_token
    try:
        ml.datastores.get("blobs", include_secrets=True)
        raise AssertionError("the key was shown")
    except HttpResponseError as error:
        assert "never shown again" in str(error)
    ml.datastores.delete("blobs")
    assert "blobs" not in {one.name for one in ml.datastores.list()}


@step("schedules: made, listed, disabled, enabled, deleted; they start nothing yet")
def _() -> None:
    hello = command(command="echo hello", environment=Environment(image=IMAGE))

    @dsl.pipeline(compute="serverless")
    def nightly():
        hello()

    schedule = JobSchedule(name="nightly", trigger=CronTrigger(expression="0 0 * * *"), create_job=nightly())
    ml.schedules.begin_create_or_update(schedule).result()
    assert not ml.schedules.begin_disable("nightly").result().is_enabled and not list(ml.schedules.list())
    assert ml.schedules.begin_enable("nightly").result().is_enabled
    assert [one.name for one in ml.schedules.list()] == ["nightly"]
    assert "does not start" in ml.schedules.get("nightly").properties["mayfly.notes"]
    ml.schedules.begin_disable("nightly").result()
    ml.schedules.begin_delete("nightly").result()


@step("registries: listed and found; a model's files downloaded, nothing written")
def _() -> None:
    assert {"azureml", "ours"} <= {one.name for one in ml.registries.list()}
    assert ml.registries.get("ours").name == "ours"
    ours = MLClient(credential=DefaultAzureCredential(), registry_name="ours")
    printed(lambda: ours.models.download("net", "3", download_path="registry"))
    assert texts("registry/net") == ["weights"]
    assert ours.components.get("score_model").version == "1"
    try:
        ours.environments.create_or_update(Environment(name="mine", version="1", image=IMAGE))
    except HttpResponseError as error:
        assert "only read" in str(error)
        return
    raise AssertionError("it was written")


@step("lists of what is never there")
def _() -> None:
    assert list(ml.feature_stores.list()) == []
    assert ml.feature_stores.get(NAME) is None  # a workspace is none
    assert list(ml.feature_sets.list_materialization_operations("set", "1")) == []
    try:
        ml.models.get("nobody", label="latest")
    except ResourceNotFoundError:
        return
    raise AssertionError("it was found")
