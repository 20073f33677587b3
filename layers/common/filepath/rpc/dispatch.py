"""One message of a client: a request by an operation's name, answered in the same shape as over REST."""

from __future__ import annotations

from filepath import clock, failures
from filepath.access import Caller
from filepath.aws.connections import ClientConnection
from filepath.errors import FilepathError, InvalidRequest, NotFound, TooLarge
from filepath.log import logger
from filepath.operations import registry
from filepath.operations.fields import idempotency_key
from filepath.operations.registry import Context, Operation
from filepath.protocol import (
    CLIENT_REQUEST_LIMIT,
    INVALID_PARAMS,
    MESSAGE_LIMIT,
    METHOD_NOT_FOUND,
    SERVER_ERROR,
    MessageId,
    ProtocolError,
    Request,
    failure,
    parse,
    success,
)

LARGEST_ANSWER = MESSAGE_LIMIT - 4 * 1024
"""Encoded bytes of a result: what is left of a message for it."""


def dispatch(connection: ClientConnection, text: str, request_id: str) -> str | None:
    """The answer to a message; None for one that wants none: a notification, even one that was refused."""
    if len(text.encode()) > CLIENT_REQUEST_LIMIT:
        large = TooLarge(f"A message has at most {CLIENT_REQUEST_LIMIT} bytes. Send larger requests over REST.")
        return _refusal(None, large, request_id, SERVER_ERROR)
    try:
        message = parse(text)
    except ProtocolError as error:
        return _refusal(error.message_id, InvalidRequest(str(error)), request_id, error.code)
    if not isinstance(message, Request):
        return None
    answer = _answer(connection, message, request_id)
    return None if message.id is None else answer


def refused(text: str, error: FilepathError, request_id: str) -> str | None:
    """The same for a message that cannot be looked into: there is no connection that it belongs to."""
    try:
        message = parse(text)
    except ProtocolError as unreadable:
        return _refusal(unreadable.message_id, error, request_id, SERVER_ERROR)
    is_wanted = isinstance(message, Request) and message.id is not None
    return _refusal(message.id, error, request_id, SERVER_ERROR) if is_wanted else None


def _answer(connection: ClientConnection, message: Request, request_id: str) -> str:
    try:
        answer = success(message.id, _call(connection, message, request_id).model_dump(mode="json"))
        if len(answer.encode()) > MESSAGE_LIMIT:
            raise TooLarge("The answer is too large for a socket. Ask with a lower limit, or over REST.")
        return answer
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets the envelope
        explained = failures.explained(error)
        return _refusal(message.id, explained, request_id, _code(explained))


def _call(connection: ClientConnection, message: Request, request_id: str) -> registry.Model:
    operation = _methods().get(message.method)
    if operation is None:
        raise UnknownMethod(f"There is no method {message.method!r}. See /openapi.json for the operations.")
    params = dict(message.params)
    key = idempotency_key(params.pop("idempotencyKey", None))
    logger.append_keys(operation=operation.name)
    parsed = operation.accepted(params, strict=True)
    logger.append_keys(**failures.subject(parsed))
    context = Context(
        caller=Caller(
            connection.user_id, connection.credential_id, connection.scopes, valid_until=connection.valid_until
        ),
        now=clock.now_ms(),
        request_id=request_id,
        idempotency_key=key,
        clients_api=connection.address.rpartition("/")[0],
        largest_answer=LARGEST_ANSWER,
    )
    result = registry.call(operation, context, parsed)
    logger.append_keys(**failures.subject(result))
    return result


class UnknownMethod(NotFound):
    """Also JSON-RPC's own error for it."""


def _methods() -> dict[str, Operation]:
    return {operation.rpc_name: operation for operation in registry.operations().values() if operation.on_socket}


def _code(error: FilepathError) -> int:
    if isinstance(error, UnknownMethod):
        return METHOD_NOT_FOUND
    return INVALID_PARAMS if isinstance(error, InvalidRequest) else SERVER_ERROR


def _refusal(message_id: MessageId | None, error: FilepathError, request_id: str, code: int) -> str:
    return failure(message_id, code, error.message, error.envelope(request_id))
