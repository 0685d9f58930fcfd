"""The reader of Azure's public documents finds what is wrong with an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from azure_document import Document

REFERENCE = {"$ref": "#/definitions/Job"}
DOCUMENT = {
    "paths": {"/jobs/{name}": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/Resource"}}}}}},
    "definitions": {
        "Resource": {
            "allOf": [{"$ref": "elsewhere.json#/definitions/Base"}],
            "required": ["properties"],
            "properties": {"properties": REFERENCE},
        },
        "Job": {
            "type": "object",
            "required": ["jobType"],
            "discriminator": "jobType",
            "properties": {
                "jobType": {"type": "string"},
                "tags": {"additionalProperties": {"type": "string"}, "type": "object"},
            },
        },
        "Command": {
            "allOf": [REFERENCE],
            "x-ms-discriminator-value": "Command",
            "required": ["command"],
            "properties": {
                "command": {"type": "string", "minLength": 1},
                "status": {"type": "string", "enum": ["Running", "Failed"]},
                "timeout": {"type": "string", "format": "duration"},
                "counts": {"type": "array", "items": {"type": "integer"}},
            },
        },
    },
}


@pytest.fixture
def document(tmp_path: Path) -> Document:
    place = tmp_path / "mfe.json"
    place.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    return Document(place)


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"jobType": "Command", "command": "ls", "status": "Failed", "timeout": "PT1H30M", "unknown": 1}, ""),
        ({"jobType": "Command", "command": "ls", "status": None}, ""),
        ({"command": "ls"}, "/properties/jobType is missing"),
        ({"jobType": "Sweep"}, "'Sweep', not one of Command"),
        ({"jobType": "Command", "command": ""}, "/properties/command is shorter than 1"),
        ({"jobType": "Command"}, "/properties/command is missing"),
        ({"jobType": "Command", "command": "ls", "status": "Gone"}, "not one of Running, Failed"),
        ({"jobType": "Command", "command": "ls", "timeout": "1h"}, "no duration"),
        ({"jobType": "Command", "command": "ls", "tags": {"a": 1}}, "/properties/tags/a is 1, not of type string"),
        ({"jobType": "Command", "command": "ls", "counts": [1, True]}, "/properties/counts/1 is true"),
    ],
)
def test_faults(document: Document, properties: dict[str, Any], said: str) -> None:
    found = document.faults("GET", "/jobs/one", 200, {"properties": properties})
    assert found is not None and len(found) >= bool(said) and said in "".join(found)
    assert bool(found) is bool(said)


def test_what_it_does_not_know_is_no_fault(document: Document) -> None:
    assert document.faults("GET", "/computes/one", 200, {}) is None
    assert document.faults("GET", "/jobs/one", 404, {}) == []
    assert document.faults("GET", "/jobs/one", 201, {}) == ["GET /jobs/one answers 201, not one of 200"]
