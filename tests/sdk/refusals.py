"""Operations of Azure's client that this server has not: each is called, and must come back with a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from azure.ai.ml import entities as e
from azure.ai.ml.data_transfer import Database
from azure.ai.ml.entities._indexes import ModelConfiguration
from watched import why_not

IMAGE = "library/python:latest"
_END = datetime(2024, 1, 2)
_SPEC = """
source: {type: parquet, path: 'https://example.com/rows', timestamp_column: {name: at}}
features: [{name: f, type: string}]
index_columns: [{name: id, type: string}]
"""


def calls(ml: Any) -> Mapping[str, Callable[[], Any]]:
    online = e.ManagedOnlineEndpoint(name="answers")
    deployed = e.ManagedOnlineDeployment(
        name="blue", endpoint_name="answers", model="azureml:local:1", instance_count=1
    )
    batch = e.BatchEndpoint(name="batches")
    batched = e.BatchDeployment(name="blue", endpoint_name="batches", model="azureml:local:1", compute="cpu")
    serverless = e.ServerlessEndpoint(name="asks", model_id="azureml://registries/azureml/models/m")
    subscription = e.MarketplaceSubscription(name="buys", model_id="azureml://registries/azureml/models/m")
    store = e.FeatureStore(name="features", location="local")
    entity = e.FeatureStoreEntity(name="who", version="1", index_columns=[e.DataColumn(name="id", type="string")])
    features = e.FeatureSet(
        name="set", version="1", entities=["azureml:who:1"], specification=e.FeatureSetSpecification(path="./spec")
    )
    connection = e.WorkspaceConnection(
        name="git", type="git", target="https://example.com", credentials=e.PatTokenConfiguration(pat="x")
    )
    imported = e.DataImport(
        name="imported",
        source=Database(connection="azureml:c", query="select 1"),
        path="azureml://datastores/workspaceblobstore/paths/x",
    )
    kubernetes = e.KubernetesCompute(name="k8s", resource_id="/subscriptions/s/x", namespace="x")
    rule = e.FqdnDestination(name="rule", destination="example.com")
    host = e.CapabilityHost(name="host", capability_host_kind="Agents")
    package = e.ModelPackage(target_environment="packed", inferencing_server=e.AzureMLOnlineInferencingServer())
    Path("spec").mkdir(exist_ok=True)
    Path("spec/FeatureSetSpec.yaml").write_text(_SPEC, encoding="utf-8")
    model = dict.fromkeys(("api_base", "api_key", "api_version", "connection_name", "connection_type"), "")
    model |= {"model_name": "m", "deployment_name": "m", "model_kwargs": {}}
    window = {"feature_window_start_time": _END - timedelta(days=1), "feature_window_end_time": _END}
    shared = {"share_with_name": "given", "share_with_version": "1", "registry_name": "ours"}
    workspace = ml.workspace_name
    found = {
        "online_endpoints.list": lambda: ml.online_endpoints.list(),
        "online_endpoints.get": lambda: ml.online_endpoints.get("answers"),
        "online_endpoints.begin_create_or_update": lambda: ml.online_endpoints.begin_create_or_update(online),
        "online_endpoints.begin_delete": lambda: ml.online_endpoints.begin_delete("answers"),
        "online_endpoints.begin_regenerate_keys": lambda: ml.online_endpoints.begin_regenerate_keys("answers"),
        "online_endpoints.get_keys": lambda: ml.online_endpoints.get_keys("answers"),
        "online_endpoints.invoke": lambda: ml.online_endpoints.invoke("answers", request_file="asked.json"),
        "online_deployments.list": lambda: ml.online_deployments.list("answers"),
        "online_deployments.get": lambda: ml.online_deployments.get("blue", "answers"),
        "online_deployments.begin_create_or_update": lambda: ml.online_deployments.begin_create_or_update(deployed),
        "online_deployments.begin_delete": lambda: ml.online_deployments.begin_delete("blue", "answers"),
        "online_deployments.get_logs": lambda: ml.online_deployments.get_logs("blue", "answers", 10),
        "batch_endpoints.list": lambda: ml.batch_endpoints.list(),
        "batch_endpoints.get": lambda: ml.batch_endpoints.get("batches"),
        "batch_endpoints.begin_create_or_update": lambda: ml.batch_endpoints.begin_create_or_update(batch),
        "batch_endpoints.begin_delete": lambda: ml.batch_endpoints.begin_delete("batches"),
        "batch_endpoints.invoke": lambda: ml.batch_endpoints.invoke("batches"),
        "batch_endpoints.list_jobs": lambda: ml.batch_endpoints.list_jobs("batches"),
        "batch_deployments.list": lambda: ml.batch_deployments.list("batches"),
        "batch_deployments.get": lambda: ml.batch_deployments.get("blue", "batches"),
        "batch_deployments.begin_create_or_update": lambda: ml.batch_deployments.begin_create_or_update(batched),
        "batch_deployments.begin_delete": lambda: ml.batch_deployments.begin_delete("blue", "batches"),
        "batch_deployments.list_jobs": lambda: ml.batch_deployments.list_jobs("batches", name="blue"),
        "serverless_endpoints.list": lambda: ml.serverless_endpoints.list(),
        "serverless_endpoints.get": lambda: ml.serverless_endpoints.get("asks"),
        "serverless_endpoints.begin_create_or_update": lambda: ml.serverless_endpoints.begin_create_or_update(
            serverless
        ),
        "serverless_endpoints.begin_delete": lambda: ml.serverless_endpoints.begin_delete("asks"),
        "serverless_endpoints.begin_regenerate_keys": lambda: ml.serverless_endpoints.begin_regenerate_keys("asks"),
        "serverless_endpoints.get_keys": lambda: ml.serverless_endpoints.get_keys("asks"),
        "marketplace_subscriptions.list": lambda: ml.marketplace_subscriptions.list(),
        "marketplace_subscriptions.get": lambda: ml.marketplace_subscriptions.get("buys"),
        "marketplace_subscriptions.begin_create_or_update": lambda: ml.marketplace_subscriptions.begin_create_or_update(
            subscription
        ),
        "marketplace_subscriptions.begin_delete": lambda: ml.marketplace_subscriptions.begin_delete("buys"),
        "capability_hosts.get": lambda: ml.capability_hosts.get("host"),
        "capability_hosts.begin_create_or_update": lambda: ml.capability_hosts.begin_create_or_update(host),
        "capability_hosts.begin_delete": lambda: ml.capability_hosts.begin_delete("host"),
        "azure_openai_deployments.list": lambda: ml.azure_openai_deployments.list("c"),
        "connections.list": lambda: ml.connections.list(),
        "connections.get": lambda: ml.connections.get("git"),
        "connections.create_or_update": lambda: ml.connections.create_or_update(connection),
        "connections.delete": lambda: ml.connections.delete("git"),
        "feature_stores.begin_create": lambda: ml.feature_stores.begin_create(store),
        "feature_stores.begin_update": lambda: ml.feature_stores.begin_update(store),
        "feature_stores.begin_delete": lambda: ml.feature_stores.begin_delete("features"),
        "feature_stores.begin_provision_network": lambda: ml.feature_stores.begin_provision_network(
            feature_store_name="features"
        ),
        "feature_sets.list": lambda: ml.feature_sets.list(),
        "feature_sets.get": lambda: ml.feature_sets.get("set", "1"),
        "feature_sets.begin_create_or_update": lambda: ml.feature_sets.begin_create_or_update(features),
        "feature_sets.begin_backfill": lambda: ml.feature_sets.begin_backfill(name="set", version="1", **window),
        "feature_sets.list_features": lambda: ml.feature_sets.list_features("set", "1"),
        "feature_sets.get_feature": lambda: ml.feature_sets.get_feature("set", "1", feature_name="f"),
        "feature_sets.archive": lambda: ml.feature_sets.archive("set", "1"),
        "feature_sets.restore": lambda: ml.feature_sets.restore("set", "1"),
        "feature_store_entities.list": lambda: ml.feature_store_entities.list(),
        "feature_store_entities.get": lambda: ml.feature_store_entities.get("who", "1"),
        "feature_store_entities.begin_create_or_update": lambda: ml.feature_store_entities.begin_create_or_update(
            entity
        ),
        "feature_store_entities.archive": lambda: ml.feature_store_entities.archive("who", "1"),
        "feature_store_entities.restore": lambda: ml.feature_store_entities.restore("who", "1"),
        "indexes.list": lambda: ml.indexes.list(),
        "indexes.get": lambda: ml.indexes.get("index", version="1"),
        "indexes.create_or_update": lambda: ml.indexes.create_or_update(
            e.Index(name="index", version="1", path="./data")
        ),
        "indexes.build_index": lambda: ml.indexes.build_index(
            name="index", embeddings_model_config=ModelConfiguration(**model), input_source="./data"
        ),
        "workspace_outbound_rules.list": lambda: ml.workspace_outbound_rules.list(workspace),
        "workspace_outbound_rules.get": lambda: ml.workspace_outbound_rules.get(workspace, "rule"),
        "workspace_outbound_rules.begin_create": lambda: ml.workspace_outbound_rules.begin_create(workspace, rule),
        "workspace_outbound_rules.begin_update": lambda: ml.workspace_outbound_rules.begin_update(workspace, rule),
        "workspace_outbound_rules.begin_remove": lambda: ml.workspace_outbound_rules.begin_remove(workspace, "rule"),
        "workspaces.begin_provision_network": lambda: ml.workspaces.begin_provision_network(workspace_name=workspace),
        "workspaces.begin_diagnose": lambda: ml.workspaces.begin_diagnose(workspace),
        "workspaces.begin_sync_keys": lambda: ml.workspaces.begin_sync_keys(),
        "workspaces.get_keys": lambda: ml.workspaces.get_keys(),
        "workspaces.begin_delete": lambda: ml.workspaces.begin_delete(workspace, delete_dependent_resources=False),
        "registries.begin_create": lambda: ml.registries.begin_create(
            e.Registry(name="theirs", location="local", replication_locations=[])
        ),
        "registries.begin_delete": lambda: ml.registries.begin_delete(name="ours"),
        "compute.begin_attach": lambda: ml.compute.begin_attach(kubernetes),
        "compute.begin_start": lambda: ml.compute.begin_start("cpu"),
        "compute.begin_stop": lambda: ml.compute.begin_stop("cpu"),
        "compute.begin_restart": lambda: ml.compute.begin_restart("cpu"),
        "compute.enable_sso": lambda: ml.compute.enable_sso(name="cpu"),
        "schedules.trigger": lambda: ml.schedules.trigger("nightly"),
        "models.package": lambda: ml.models.package("local", "1", package),
        "models.share": lambda: ml.models.share("local", "1", **shared),
        "environments.share": lambda: ml.environments.share("mine", "1", **shared),
        "data.share": lambda: ml.data.share("rows", "1", **shared),
        "data.import_data": lambda: ml.data.import_data(imported),
        "data.mount": lambda: ml.data.mount("azureml://datastores/workspaceblobstore/paths/x"),
        "datastores.mount": lambda: ml.datastores.mount("workspaceblobstore"),
        "data.list_materialization_status": lambda: ml.data.list_materialization_status("rows"),
    }
    if hasattr(ml, "deployment_templates"):
        template = e.DeploymentTemplate(name="template", version="1", environment="azureml:mine:1")
        found |= {
            "deployment_templates.list": lambda: ml.deployment_templates.list(),
            "deployment_templates.get": lambda: ml.deployment_templates.get("template", version="1"),
            "deployment_templates.create_or_update": lambda: ml.deployment_templates.create_or_update(template),
            "deployment_templates.archive": lambda: ml.deployment_templates.archive("template", "1"),
            "deployment_templates.restore": lambda: ml.deployment_templates.restore("template", "1"),
            "deployment_templates.delete": lambda: ml.deployment_templates.delete("template", "1"),
        }
    return found


def reasons(ml: Any) -> dict[str, str]:
    """By operation, as `why_not`."""
    return {name: why_not(call).replace(ml.workspace_name, "team") for name, call in calls(ml).items()}
