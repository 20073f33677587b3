"""Every example of the OpenAPI document is sent, and answered as the document's own example says."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from filepath.operations.registry import Operation
from filepath.rest.examples import example
from tests.aws.gateway import Rest
from tests.contract.world import OPERATIONS, World, described, documented_reply, example_params, over_rest

operations = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


def caller(world: World, operation: Operation) -> Rest:
    """Who sends the example: for signing out with the token of somebody who signed up as in that example."""
    if operation.name in {"sign_in", "sign_out"}:
        sign_up = OPERATIONS["sign_up"]
        token = over_rest(Rest(), sign_up, example_params(sign_up)).body["token"]
        return Rest(token if operation.name == "sign_out" else None)
    return Rest(None if operation.public else world.tenant.key)


@operations
def test_every_field_has_an_example(operation: Operation, world: World) -> None:
    """Fails when an operation is added with a field that has neither an example nor a default."""
    schema = operation.output.model_json_schema(mode="serialization")
    assert example(schema, schema.get("$defs", {}))
    for name in operation.input.model_json_schema().get("required", ()):
        assert name in example_params(operation)


@operations
def test_the_example_is_answered_as_documented(operation: Operation, world: World) -> None:
    key = next((each["example"] for each in described(operation).get("parameters", ()) if each["in"] == "header"), None)
    answer = over_rest(caller(world, operation), operation, example_params(operation), key)
    assert answer.status == operation.status, answer.text
    reply = documented_reply(operation, answer.status)
    jsonschema.validate(answer.body, reply["schema"])
    assert_same_shape(answer.body, reply["example"])


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.on_socket])
def test_the_example_is_answered_the_same_on_the_socket(name: str, world: World) -> None:
    operation = OPERATIONS[name]
    result = world.tenant.listen().call(operation.rpc_name, **example_params(operation))
    jsonschema.validate(result, documented_reply(operation, operation.status)["schema"])


@operations
def test_an_example_of_a_reply_is_one(operation: Operation, world: World) -> None:
    reply = documented_reply(operation, operation.status)
    jsonschema.validate(reply["example"], reply["schema"])


def assert_same_shape(answer: Any, example: Any, place: str = "the answer") -> None:
    """The same fields, down to the last list; those of the example may be null in the answer. Which others there may be
    is for the schema to say."""
    if isinstance(example, dict) and answer is not None:
        assert example.keys() <= answer.keys(), place
        for name, value in example.items():
            assert_same_shape(answer[name], value, f"{place}.{name}")
    elif isinstance(example, list) and answer:
        assert_same_shape(answer[0], example[0], f"{place}[0]")
    elif answer is not None:
        assert type(answer) is type(example), place
