"""Each error that the document lists for an operation is produced here, on REST and on the socket, in the envelope.

That nothing else ever comes out is for `test_fuzz.py` and `test_socket_fuzz.py` to show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jsonschema
import pytest
import yaml

from filepath import errors, protocol, stdin
from filepath.aws import keys, table
from filepath.aws.table import Update
from filepath.errors import FilepathError
from filepath.operations.registry import Operation
from gates.template import PlainLoader
from local.gateway_responses import Refusal, render
from tests.aws.conftest import ROOT
from tests.aws.gateway import CLIENTS_API, Rest, Socket
from tests.contract.world import (
    OPERATIONS,
    RUNNING_WORKFLOW_ID,
    SESSION_ID,
    WORKFLOW_ID,
    Params,
    World,
    documented_reply,
    example_params,
    over_rest,
)

ASKED_OF_AWS = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "Query", "BatchGetItem")
OF_RUNNING = {"write_stdin", "close_stdin"}
LIMITS_OF_ITS_OWN = {"sign_up": "SIGN_UPS_PER_ADDRESS", "sign_in": "SIGN_INS_PER_ADDRESS"}


@dataclass(frozen=True)
class Attempt:
    """A request that is to be refused."""

    credential: str | None
    params: Params
    idempotency_key: str | None = None


Prepare = Callable[[World, Operation, Attempt], Attempt]


def invalid(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    return replace(attempt, params={**attempt.params, "noSuchField": "1"})


def unauthenticated(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    if operation.public:
        return replace(attempt, params={**attempt.params, "password": "not the password"})
    return replace(attempt, credential=None)


def forbidden(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    if operation.scope is None:
        world.configure(SIGN_UP="closed")
        return attempt
    return replace(attempt, credential=world.key_without(operation.scope))


def anothers(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    return replace(attempt, credential=world.stranger.key)


def sent_before_otherwise(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    if operation.name in OF_RUNNING:  # the other task of the examples is over
        return replace(attempt, params={**attempt.params, "workflowId": WORKFLOW_ID})
    over_rest(Rest(attempt.credential), operation, attempt.params, "the same")
    other = {**attempt.params, "name": "another"} if "name" in attempt.params else {**attempt.params, "task": "false"}
    if operation.public:  # signing up: the address is what is taken
        return replace(attempt, params=other)
    return replace(attempt, params=other, idempotency_key="the same")


def too_large(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    if operation.name in OF_RUNNING:
        table.update(Update(keys.stdin(RUNNING_WORKFLOW_ID), set={"length": stdin.LIMIT}))
        return attempt
    return replace(attempt, params={**attempt.params, "metadata": {"k": "x" * 5000}})


def poor(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    """With less than it costs: the longest task for one, anything for an account without credits."""
    if operation.name == "execute_task":
        return replace(attempt, params={**attempt.params, "timeoutSeconds": 86_400})
    return replace(attempt, credential=world.platform.person("poor@example.org", 0).key)


def full(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    if operation.name == "create_session":
        for _ in range(2):  # one there is already, of the three that an account may have
            world.tenant.open_session()
    else:
        for _ in range(15):  # one runs already
            world.tenant.submit(SESSION_ID, timeoutSeconds=1)
    return attempt


def closed(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    world.tenant.delete(f"/api/orchestrator/session/{SESSION_ID}")
    return attempt


def too_often(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    world.configure(**{LIMITS_OF_ITS_OWN[operation.name]: "1"})
    over_rest(Rest(), operation, attempt.params)
    return attempt


def aws_is_busy(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    for asked in ASKED_OF_AWS:
        world.platform.wire.refuse(asked, "ProvisionedThroughputExceededException", times=20)
    return attempt


def aws_refuses(world: World, operation: Operation, attempt: Attempt) -> Attempt:
    for asked in ASKED_OF_AWS:
        world.platform.wire.refuse(asked, "AccessDeniedException", times=20)
    return attempt


WAYS: dict[type[FilepathError], Prepare] = {
    errors.InvalidRequest: invalid,
    errors.Unauthenticated: unauthenticated,
    errors.Forbidden: forbidden,
    errors.NotFound: anothers,
    errors.Conflict: sent_before_otherwise,
    errors.TooLarge: too_large,
    errors.InsufficientCredits: poor,
    errors.QuotaExceeded: full,
    errors.SessionClosed: closed,
    errors.RateLimited: too_often,
    errors.Unavailable: aws_is_busy,
    errors.InternalError: aws_refuses,
}
MADE_BY_API_GATEWAY = {errors.TooLarge, errors.RateLimited, errors.Unavailable}
"""For any operation, beside what the operation itself makes of them."""


def own_refusals(operation: Operation) -> list[type[FilepathError]]:
    gateways = MADE_BY_API_GATEWAY - set(operation.errors) - ({errors.Unavailable} if operation.asks_aws else set())
    return sorted(operation.refusals - gateways, key=lambda error: error.code)


CASES = [(operation, error) for operation in OPERATIONS.values() for error in own_refusals(operation)]
by_case = pytest.mark.parametrize(
    ("operation", "error"), CASES, ids=[f"{operation.name}-{error.code}" for operation, error in CASES]
)


def attempt(world: World, operation: Operation, error: type[FilepathError]) -> Attempt:
    fine = Attempt(None if operation.public else world.tenant.key, example_params(operation))
    return WAYS[error](world, operation, fine)


@by_case
def test_a_documented_error_is_given_as_documented(
    world: World, operation: Operation, error: type[FilepathError]
) -> None:
    tried = attempt(world, operation, error)
    answer = over_rest(Rest(tried.credential), operation, tried.params, tried.idempotency_key)
    assert (answer.status, answer.code) == (error.status, error.code), answer.text
    jsonschema.validate(answer.body, documented_reply(operation, answer.status)["schema"])
    assert answer.body["error"]["retryable"] == error.retryable
    assert ("retry-after" in answer.headers) == (error.status in {429, 503})


ON_SOCKET = [
    pytest.param(operation, error, id=f"{operation.name}-{error.code}")
    for operation, error in CASES
    if operation.on_socket
    and error is not errors.Unauthenticated  # who is not known has no socket
    and (operation.name, error) != ("create_key", errors.Conflict)  # there it takes no idempotencyKey
]


@pytest.mark.parametrize(("operation", "error"), ON_SOCKET)
def test_the_same_error_is_given_on_the_socket(world: World, operation: Operation, error: type[FilepathError]) -> None:
    socket = world.tenant.listen()
    tried = attempt(world, operation, error)
    if tried.credential not in {None, world.tenant.key}:
        socket = Socket(CLIENTS_API)
        assert socket.connect({"x-api-key": str(tried.credential)}) == 200
    also = {"idempotencyKey": tried.idempotency_key} if tried.idempotency_key else {}
    refused = socket.refusal(operation.rpc_name, **tried.params, **also)
    assert refused["data"]["error"]["code"] == error.code
    jsonschema.validate(refused["data"], world.document["components"]["schemas"]["Error"])
    expected = protocol.INVALID_PARAMS if error is errors.InvalidRequest else protocol.SERVER_ERROR
    assert refused["code"] == expected


# What API Gateway refuses by itself


def gateway_responses() -> dict[str, Any]:
    template = yaml.load((ROOT / "template.yaml").read_text(), PlainLoader)  # noqa: S506 - a SafeLoader
    responses: dict[str, Any] = template["Resources"]["RestApi"]["Properties"]["GatewayResponses"]
    return responses


@pytest.mark.parametrize("kind", sorted(gateway_responses()))
def test_what_api_gateway_refuses_by_itself_is_documented_for_every_operation(kind: str) -> None:
    response = gateway_responses()[kind]
    words = {"statusCode": response["StatusCode"], "responseTemplates": response["ResponseTemplates"]}
    status, body = render(Refusal(kind, 500, "Bad request body"), {kind: words})
    assert status < 500 or status == 503
    for operation in OPERATIONS.values():
        if status != 404:  # which is for a path that no operation has
            jsonschema.validate(yaml.safe_load(body), documented_reply(operation, status)["schema"])
