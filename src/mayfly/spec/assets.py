"""Assets as people write them in Azure's files: data, models and environments (semantics §2, §4, §15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

from mayfly.kit.errors import Fault
from mayfly.spec import faults
from mayfly.spec.fields import Filled, Labels, Shape, choice
from mayfly.spec.job import invalid
from mayfly.spec.models import BuildContext, conda_content
from mayfly.spec.words import DATA_TYPES, MODEL_TYPES

_READ_ONLY = frozenset({"$schema", "id", "creation_context", "intellectual_property", "arm_type", "latest_version"})
"""Filled in by Azure when it shows an asset, and silently dropped when they come back."""

Version = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, (int, float)) else value)]


class Asset(Shape):
    name: Filled
    version: Version | None = None
    description: str | None = None
    tags: Labels = {}
    properties: Labels = {}


class DataAsset(Asset):
    type: Annotated[str, BeforeValidator(choice(*DATA_TYPES, "mltable"))] = "uri_folder"
    path: Filled
    datastore: str | None = None
    auto_delete_setting: dict[str, Any] | None = None

    @property
    def definition(self) -> dict[str, Any]:
        return {}


class ModelAsset(Asset):
    type: Annotated[str, BeforeValidator(choice(*MODEL_TYPES))] = "custom_model"
    path: Filled
    flavors: dict[str, Any] | None = None
    stage: str | None = None
    datastore: str | None = None

    @property
    def definition(self) -> dict[str, Any]:
        return self.model_dump(include={"flavors", "stage"}, exclude_none=True)


class EnvironmentAsset(Asset):
    image: Filled | None = None
    conda_file: Annotated[Any, BeforeValidator(conda_content)] = None
    build: BuildContext | None = None
    os_type: Annotated[str, BeforeValidator(choice("linux", "windows"))] | None = None
    inference_config: dict[str, Any] | None = None
    datastore: str | None = None
    type: Annotated[str, BeforeValidator(choice("environment"))] | None = None

    @property
    def definition(self) -> dict[str, Any]:
        """What it is; the rest is about it."""
        return self.model_dump(include={"image", "conda_file", "build"}, exclude_none=True)


A = TypeVar("A", bound=Asset)

_KEYS: Mapping[type[Asset], faults.Keys] = {
    DataAsset: {(): DataAsset},
    ModelAsset: {(): ModelAsset},
    EnvironmentAsset: {(): EnvironmentAsset, ("build",): BuildContext},
}


def parse(kind: type[A], definition: Mapping[str, Any]) -> A:
    """Raises Invalid with every fault, each with a JSON pointer: `UnknownKey`, `MissingKey`, `WrongType`,
    `InvalidValue`, `EnvironmentInvalid`."""
    data = {key: value for key, value in definition.items() if key not in _READ_ONLY and value is not None}
    model, found = faults.check(kind, data, keys=_KEYS[kind])
    found = [*found, *(_environment(model) if isinstance(model, EnvironmentAsset) else ())]
    if found or not isinstance(model, kind):
        raise invalid(found)
    return model


def _environment(asset: EnvironmentAsset) -> Iterator[Fault]:
    if not asset.image and not asset.build and asset.conda_file is None:
        yield Fault(
            "EnvironmentInvalid", "An environment needs an 'image' or a 'build'.", "", "Add 'image: python:3.11'."
        )
    if asset.image and asset.build:
        yield Fault("EnvironmentInvalid", "An environment has 'image' or 'build', not both.", "/build")
    if asset.build and asset.conda_file is not None:
        yield Fault("EnvironmentInvalid", "'conda_file' goes with 'image', not with 'build'.", "/conda_file")
