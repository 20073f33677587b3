"""Requests that Schemathesis makes of the OpenAPI document, right ones and wrong ones, sent to the function in process.

Whatever comes: no fault of ours, nothing that the document does not list, and a refused request has written nothing
but its count of tries. `make fuzz CASES=10000` sends many.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from filepath.operations.registry import Operation
from tests.aws.gateway import Rest
from tests.aws.wire import Wire
from tests.contract.world import OPERATIONS, World, document, example_params
from tests.contract.writes import written

CASES = int(os.environ.get("FUZZ_CASES", "600"))
EACH = -(-CASES * 11 // (10 * len(OPERATIONS)))
"""A tenth more, for operations that take nothing run out of cases."""
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MODES = st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
KNOWN_IDS = ("sessionId", "workflowId", "keyId")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_whatever_is_sent_the_answer_is_documented_and_a_refusal_writes_nothing(
    operation: Operation, world: World, wire: Wire
) -> None:
    schema = schemathesis.openapi.from_dict(document())
    described = schema[operation.path][operation.method]
    known = {name: value for name, value in example_params(operation).items() if name in KNOWN_IDS}
    caller = Rest(None if operation.public else world.tenant.key)

    @settings(max_examples=EACH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def send(data: st.DataObject) -> None:
        case: Any = data.draw(described.as_strategy(generation_mode=data.draw(MODES)))
        _point_at(case, known if data.draw(st.booleans()) else {})
        prepared = requests.Request(**case.as_transport_kwargs(base_url="https://rest.example.org")).prepare()
        wire.seen.clear()
        wire.calls.clear()
        response = _answered(caller, prepared)
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            assert written(wire) == []

    send()


def _point_at(case: Any, known: dict[str, str]) -> None:
    """At what exists: of made-up ids none would ever be found."""
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            place.update({name: value for name, value in known.items() if name in place})


def _answered(caller: Rest, prepared: requests.PreparedRequest) -> schemathesis.Response:
    headers = {name: _text(value) for name, value in prepared.headers.items() if name.lower() == "idempotency-key"}
    headers |= {"x-api-key": caller.credential} if caller.credential else {"x-no-credential": "1"}
    body = None if prepared.body is None else _text(prepared.body)
    answer = caller(prepared.method or "", prepared.path_url, body, headers=headers)
    return schemathesis.Response(
        answer.status,
        {name: [value] for name, value in answer.headers.items()},
        answer.text.encode(),
        prepared,
        elapsed=0.0,
        verify=False,
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
