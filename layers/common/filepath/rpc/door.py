"""The clients' socket: who is let in, what they hear of, and one message at a time."""

from __future__ import annotations

from collections.abc import Mapping

from filepath import clock, failures, ids
from filepath.access import Caller, Scope
from filepath.authentication import authenticate, bearer, redeem_ticket
from filepath.aws import connections
from filepath.aws.connections import ClientConnection
from filepath.errors import InvalidRequest, NotFound
from filepath.log import logger
from filepath.operations.views import own_session, own_task
from filepath.rpc.dispatch import dispatch, refused
from filepath.websocket import Event, address, headers


def connect(event: Event) -> int:
    """The status to answer the handshake with. Why it was refused cannot be told in it; the log says it."""
    now = clock.now_ms()
    try:
        caller = _caller(event, now)
        session_id, workflow_id = _wanted(caller, event.get("queryStringParameters") or {})
        connection = ClientConnection(
            address(event),
            caller.user_id,
            caller.credential_id,
            caller.scopes,
            session_id,
            workflow_id,
            caller.valid_until,
            now,
        )
        connections.open_client(connection, now)
    except Exception as error:  # noqa: BLE001 - the edge: API Gateway would call whatever it is a fault of its own
        refusal = failures.explained(error)
        logger.info("a client was refused", extra={"why": refusal.message})
        return refusal.status
    return 200


def disconnect(event: Event) -> None:
    connection = connections.client(address(event))
    if connection is not None:
        connections.close_client(connection)


def message(event: Event) -> str | None:
    request_id, text = event["requestContext"]["requestId"], event.get("body") or ""
    try:
        connection = _connection(event)
    except Exception as error:  # noqa: BLE001 - the edge, as above
        return refused(text, failures.explained(error), request_id)
    logger.append_keys(user_id=connection.user_id)
    return dispatch(connection, text, request_id)


def _connection(event: Event) -> ClientConnection:
    connection = connections.client(address(event))
    if connection is None or connection.has_ended(clock.now_ms()):
        raise NotFound("This connection was closed: its key was deleted, or it ended. Connect again.")
    return connection


def _caller(event: Event, now: int) -> Caller:
    sent = headers(event)
    ticket = (event.get("queryStringParameters") or {}).get("ticket")
    if ticket:
        return redeem_ticket(ticket, now)
    return authenticate(sent.get("x-api-key") or bearer(sent.get("authorization")), now)


def _wanted(caller: Caller, query: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The session and the workflow that the client asks to hear of; neither means all. Raises InvalidRequest for what
    cannot be asked, Forbidden and NotFound for what the caller may not hear of.
    """
    unknown = sorted(query.keys() - {"ticket", "session", "workflow"})
    if unknown:
        raise InvalidRequest(f"The socket takes no {', '.join(unknown)}: only ticket, session and workflow.")
    session_id, workflow_id = query.get("session"), query.get("workflow")
    if session_id is not None:
        _check_session(caller, session_id)
    if workflow_id is not None:
        _check_workflow(caller, workflow_id)
    return session_id, workflow_id


def _check_session(caller: Caller, session_id: str) -> None:
    if not ids.SESSION_ID.fullmatch(session_id):
        raise InvalidRequest("session is no session id.")
    caller.require(Scope.SESSIONS_READ)
    own_session(caller, session_id)


def _check_workflow(caller: Caller, workflow_id: str) -> None:
    if not ids.WORKFLOW_ID.fullmatch(workflow_id):
        raise InvalidRequest("workflow is no workflow id.")
    if ids.is_task(workflow_id):
        caller.require(Scope.TASKS_READ)
        own_task(caller, workflow_id)
    else:
        _check_session(caller, ids.session_of(workflow_id))
