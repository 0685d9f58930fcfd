"""Azure's command job, field by field (semantics §2–§5, §8, §9, §17). Everything is read; what is done with it is not here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from mayfly.spec.fields import Count, Filled, Labels, Name, Scalar, Shape, Size, Whole, choice, show, wrong
from mayfly.spec.words import ASSET_TYPES, INPUT_MODES, LITERAL_TYPES, OUTPUT_MODES


def output_mode(value: Any) -> str:
    # Azure's schema also knows `mount` for an output; it is the default's other name.
    return "rw_mount" if value == "mount" else choice(*OUTPUT_MODES, *INPUT_MODES, "rw_mount")(value)


class DataInput(Shape):
    type: Annotated[str, BeforeValidator(choice(*ASSET_TYPES))] = "uri_folder"
    path: Filled | None = None
    mode: Annotated[str, BeforeValidator(choice(*INPUT_MODES, "upload", "rw_mount"))] | None = None
    path_on_compute: str | None = None
    datastore: str | None = None


class LiteralInput(Shape):
    value: Scalar


def _input_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "<literal>" if "value" in value else "<data>"
    if isinstance(value, (DataInput, LiteralInput)):
        return "<data>" if isinstance(value, DataInput) else "<literal>"
    return "<bare>"


def _bare(value: Any) -> Any:
    return {"value": value}


Input = Annotated[
    Annotated[DataInput, Tag("<data>")]
    | Annotated[LiteralInput, Tag("<literal>")]
    | Annotated[LiteralInput, BeforeValidator(_bare), Tag("<bare>")],
    Discriminator(_input_kind),
]


def output_kind(value: Any) -> str:
    # A value is written into a file, and read from it by what is decided by it.
    return "uri_file" if value in LITERAL_TYPES else choice(*ASSET_TYPES)(value)


def is_one_file(kind: str) -> bool:
    """Whether an output of this type is a file: a value's is."""
    return kind == "uri_file" or kind in LITERAL_TYPES


class Output(Shape):
    type: Annotated[str, BeforeValidator(output_kind)] = "uri_folder"
    mode: Annotated[str, BeforeValidator(output_mode)] = "rw_mount"
    path: Filled | None = None
    name: str | None = None
    version: Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, (int, float)) else v)] | None = None
    description: str | None = None
    is_control: bool = Field(False, exclude=True)
    early_available: bool = Field(False, exclude=True)


def conda_content(value: Any) -> Any:
    if isinstance(value, (dict, str)) and value:
        return value
    raise wrong(f"Expected conda's 'key: value' lines or the path of a file, found {show(value)}.", code="WrongType")


class BuildContext(Shape):
    path: Filled
    dockerfile_path: str | None = None


class Environment(Shape):
    """An inline one. `name` and `version` are allowed and mean nothing (semantics §21.12)."""

    image: Filled | None = None
    conda_file: Annotated[Any, BeforeValidator(conda_content)] = None
    """A mapping as conda has it, or a path to a file that holds one."""
    build: BuildContext | None = None
    name: str | None = None
    version: Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, (int, float)) else v)] | None = None
    description: str | None = None
    tags: Labels | None = None
    properties: Labels | None = None
    os_type: Annotated[str, BeforeValidator(choice("linux", "windows"))] | None = None
    inference_config: dict[str, Any] | None = None
    datastore: str | None = None


EnvironmentField = Annotated[
    Annotated[Filled, Tag("<reference>")] | Annotated[Environment, Tag("<inline>")],
    Discriminator(lambda value: "<reference>" if isinstance(value, str) else "<inline>"),
]


class Resources(Shape):
    instance_count: Count = 1
    instance_type: Filled | None = None
    locations: list[str] | None = None
    shm_size: Size | None = None
    docker_args: str | list[str] | None = None
    max_instance_count: Count | None = None
    properties: dict[str, Any] | None = None


class QueueSettings(Shape):
    job_tier: Annotated[str, BeforeValidator(choice("standard", "spot", "basic", "premium", "null"))] = "standard"
    priority: Annotated[str, BeforeValidator(choice("low", "medium", "high"))] = "medium"


class CommandLimits(Shape):
    timeout: Count | None = None
    """Seconds."""


class PyTorch(Shape):
    type: Literal["pytorch"]
    process_count_per_instance: Count = 1


class TensorFlow(Shape):
    type: Literal["tensorflow"]
    worker_count: Count | None = None
    parameter_server_count: Whole = 0


class Mpi(Shape):
    type: Literal["mpi"]
    process_count_per_instance: Count = 1


class Ray(Shape):
    type: Literal["ray"]
    port: Whole | None = None
    address: str | None = None
    include_dashboard: bool | None = None
    dashboard_port: Whole | None = None
    head_node_additional_args: str | None = None
    worker_node_additional_args: str | None = None


DISTRIBUTIONS: dict[str, type[Shape]] = {"pytorch": PyTorch, "tensorflow": TensorFlow, "mpi": Mpi, "ray": Ray}
Distribution = Annotated[
    Annotated[PyTorch, Tag("<pytorch>")]
    | Annotated[TensorFlow, Tag("<tensorflow>")]
    | Annotated[Mpi, Tag("<mpi>")]
    | Annotated[Ray, Tag("<ray>")],
    Discriminator(lambda value: f"<{value.get('type') if isinstance(value, dict) else value.type}>"),
]


class Identity(Shape):
    type: Annotated[str, BeforeValidator(choice("user_identity", "managed", "managed_identity", "aml_token"))]
    client_id: str | None = None
    object_id: str | None = None
    msi_resource_id: str | None = None


class Service(Shape):
    type: str | None = None
    job_service_type: str | None = None
    nodes: Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, int) else v)] | None = None
    port: Whole | None = None
    log_dir: str | None = None
    ssh_public_keys: str | None = None
    properties: dict[str, Any] | None = None


class CommandFields(Shape):
    """The keys of a command job's file, `$schema`, `type` and what Azure itself fills in left out."""

    command: Filled
    environment: EnvironmentField
    name: Name | None = None
    display_name: str | None = None
    experiment_name: Filled | None = None
    description: str | None = None
    tags: Labels = {}
    properties: Labels = {}
    code: Filled | None = None
    environment_variables: dict[str, Scalar | None] = {}
    inputs: dict[str, Input] = {}
    outputs: dict[str, Output] = {}
    compute: Filled | None = None
    resources: Resources = Resources()
    queue_settings: QueueSettings = QueueSettings()
    limits: CommandLimits = CommandLimits()
    distribution: Distribution | None = None
    identity: Identity | None = None
    services: dict[str, Service] = {}
    parent_job_name: str | None = None


READ_ONLY: dict[tuple[str, ...], frozenset[str]] = {
    (): frozenset({"$schema", "id", "status", "creation_context", "log_files", "parameters", "type"}),
    ("environment",): frozenset({"id", "creation_context", "intellectual_property", "$schema"}),
    ("services", "*"): frozenset({"endpoint", "status", "error_message"}),
}
"""Filled in by Azure when it shows a job, and silently dropped when they come back (semantics §1.4)."""

KEYS: dict[tuple[str, ...], type[Shape]] = {
    (): CommandFields,
    ("environment",): Environment,
    ("environment", "build"): BuildContext,
    ("inputs", "*"): DataInput,
    ("outputs", "*"): Output,
    ("resources",): Resources,
    ("queue_settings",): QueueSettings,
    ("limits",): CommandLimits,
    ("identity",): Identity,
    ("services", "*"): Service,
}
"""Which keys may stand where, for suggestions."""
