"""The clients' socket: who is let in, what they hear of, and one message at a time."""

from __future__ import annotations

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
from filepath.websocket import Event, address, headers


def connect(event: Event) -> int:
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
        address(event), caller.user_id, caller.credential_id, caller.scopes, session_id, workflow_id
    )
    connections.open_client(connection, now)
    return 200


def disconnect(event: Event) -> None:
    connection = connections.client(address(event))
    if connection is not None:
        connections.close_client(connection)


def message(event: Event) -> str | None:
    request_id = event["requestContext"]["requestId"]
    connection = connections.client(address(event))
    if connection is None:
        closed = NotFound("This connection was closed: its key was deleted, or it ended. Connect again.")
        return failure(None, SERVER_ERROR, closed.message, closed.envelope(request_id))
    logger.append_keys(user_id=connection.user_id)
    return dispatch(connection, event.get("body") or "", request_id)


def _caller(event: Event, now: int) -> Caller:
    sent = headers(event)
    ticket = (event.get("queryStringParameters") or {}).get("ticket")
    if ticket:
        return redeem_ticket(ticket, now)
    return authenticate(sent.get("x-api-key") or bearer(sent.get("authorization")), now)


def _check_own(caller: Caller, session_id: str | None, workflow_id: str | None) -> None:
    """Raises NotFound for what the caller cannot hear of."""
    if session_id is not None:
        own_session(caller, session_id)
    if workflow_id is not None and ids.WORKFLOW_ID.fullmatch(workflow_id) and ids.is_task(workflow_id):
        own_task(caller, workflow_id)
    elif workflow_id is not None:
        own_session(caller, ids.session_of(workflow_id))
