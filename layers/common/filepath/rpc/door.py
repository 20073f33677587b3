"""The clients' socket: who is let in, what they hear of, and one message at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from filepath import clock, ids
from filepath.access import Caller
from filepath.authentication import authenticate, bearer, redeem_ticket
from filepath.aws import connections
from filepath.aws.connections import ClientConnection
from filepath.errors import FilepathError, NotFound
from filepath.log import logger
from filepath.operations.views import own_session, own_task
from filepath.protocol import SERVER_ERROR, failure
from filepath.rpc.dispatch import dispatch


def connect(event: Mapping[str, Any]) -> int:
    """The status to answer the handshake with. Why it was refused cannot be told in it; the log says it."""
    now = clock.now_ms()
    try:
        caller = _caller(event, now)
        wanted = event.get("queryStringParameters") or {}
        session_id, workflow_id = wanted.get("session"), wanted.get("workflow")
        _check_own(caller, session_id, workflow_id)
    except FilepathError as error:
        logger.info("a client was refused", extra={"why": error.message})
        return error.status
    connection = ClientConnection(
        _address(event), caller.user_id, caller.credential_id, caller.scopes, session_id, workflow_id
    )
    connections.open_client(connection, now)
    return 200


def disconnect(event: Mapping[str, Any]) -> None:
    connection = connections.client(_address(event))
    if connection is not None:
        connections.close_client(connection)


def message(event: Mapping[str, Any]) -> str | None:
    """The answer; None for a message that wants none."""
    request_id = event["requestContext"]["requestId"]
    connection = connections.client(_address(event))
    if connection is None:
        closed = NotFound("This connection was closed: its key was deleted, or it ended. Connect again.")
        return failure(None, SERVER_ERROR, closed.message, closed.envelope(request_id))
    logger.append_keys(user_id=connection.user_id)
    return dispatch(connection, event.get("body") or "", request_id)


def _caller(event: Mapping[str, Any], now: int) -> Caller:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    ticket = (event.get("queryStringParameters") or {}).get("ticket")
    if ticket:
        return redeem_ticket(ticket, now)
    return authenticate(headers.get("x-api-key") or bearer(headers.get("authorization")), now)


def _check_own(caller: Caller, session_id: str | None, workflow_id: str | None) -> None:
    """Raises NotFound for what the caller cannot hear of."""
    if session_id is not None:
        own_session(caller, session_id)
    if workflow_id is not None and ids.WORKFLOW_ID.fullmatch(workflow_id) and ids.is_task(workflow_id):
        own_task(caller, workflow_id)
    elif workflow_id is not None:
        own_session(caller, ids.session_of(workflow_id))


def _address(event: Mapping[str, Any]) -> str:
    request = event["requestContext"]
    return f"{request['apiId']}/{request['stage']}/{request['connectionId']}"
