"""The agents' socket: who is let in, and one message at a time."""

from __future__ import annotations

from filepath import clock, ids
from filepath.authentication import bearer
from filepath.aws import clients, connections, sessions, sockets
from filepath.aws.connections import AgentConnection
from filepath.errors import FilepathError, Unavailable
from filepath.lifecycle import agent_messages
from filepath.log import logger
from filepath.protocol import SERVER_ERROR, MessageId, ProtocolError, Request, failure, parse, success
from filepath.websocket import Event, address, headers


def connect(event: Event) -> int:
    """The status to answer the handshake with: 200, or 401 for who is not the session's agent."""
    sent = headers(event)
    token = bearer(sent.get("authorization"))
    session_id, instance = sent.get("x-filepath-session", ""), sent.get("x-filepath-instance", "")
    logger.append_keys(session_id=session_id)
    if not (token and instance and len(instance) <= 64 and ids.SESSION_ID.fullmatch(session_id)):
        return 401
    session = sessions.bind(session_id, token, instance)
    if session is None:
        logger.warning("an agent was refused")
        return 401
    connections.open_agent(AgentConnection(address(event), session_id, session.user_id, instance), clock.now_ms())
    return 200


def disconnect(event: Event) -> None:
    connection = connections.agent(address(event))
    if connection is not None:
        sessions.disconnected(connection.session_id, connection.address)
        connections.close_agent(connection.address)


def message(event: Event) -> str | None:
    connection = connections.agent(address(event))
    if connection is None:
        sockets.disconnect(address(event))  # its `$disconnect` came before this: the agent is to connect again
        return None
    message_id: MessageId | None = None
    request_id = event["requestContext"]["requestId"]
    try:
        request = parse(event.get("body") or "")
        if not isinstance(request, Request):
            return None
        message_id = request.id
        logger.append_keys(session_id=connection.session_id, workflow_id=request.params.get("workflowId"))
        result = agent_messages.handle(connection, request.method, request.params)
        return None if message_id is None else success(message_id, result)
    except ProtocolError as error:
        logger.warning("an agent's message was refused", extra={"why": str(error)})
        return failure(message_id or error.message_id, error.code, str(error))
    except FilepathError as error:
        return failure(message_id, SERVER_ERROR, error.message, error.envelope(request_id))
    except Exception as error:
        if not clients.is_passing(error):
            raise  # answered by API Gateway in its own words, which the agent takes for: send again
        logger.warning("AWS did not take a call", exc_info=error)
        busy = Unavailable("The platform is busy. Send the message again.")
        return failure(message_id, SERVER_ERROR, busy.message, busy.envelope(request_id))
