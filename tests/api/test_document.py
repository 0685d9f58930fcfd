"""What `/openapi.json` says is so: whatever fits it, or nearly, is answered as it says, and never by a fault of the server's."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mayfly.testing.serving import WS, House

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
NOT_TRIED = ("/mayfly/v1/server/down", "/stream")
"""What would end the server, and what does not end by itself."""


@pytest.mark.filterwarnings("ignore")
def test_every_door_answers_as_the_document_says(house: House) -> None:
    headers = {"Authorization": f"Bearer {house.token('user', 'ann')}"}
    with house.client() as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    schema.config.update(base_url=house.url)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith(NOT_TRIED):
            continue

        @settings(
            max_examples=10,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answers(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, checks=list(CHECKS))

        answers()
        tried += 1
    assert tried > 40


def test_what_is_no_text_is_refused_and_may_be_quoted(house: House) -> None:
    half = b'{"definition": {"\\ud800": 1, "": [], "<x>": {}, "command": "\\ud800"}}'
    with house.client(
        headers={"Authorization": f"Bearer {house.token('user', 'ann')}", "Content-Type": "application/json"}
    ) as client:
        for door in ("jobs", "jobs:validate", "components", "datastores"):
            answer = client.post(f"{WS}/{door}", content=half)
            assert answer.status_code == 400, (door, answer.text)
