"""Posting to open sockets through API Gateway's management API."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from botocore.exceptions import BotoCoreError, ClientError

from filepath import clock
from filepath.aws import clients, connections, sessions
from filepath.aws.connections import ClientConnection
from filepath.log import logger
from filepath.settings import settings


def post_to_agent(session_id: str, address: str, message: str) -> None:
    """What does not arrive, its next hello or heartbeat makes good. A connection that is gone is forgotten: its
    `$disconnect` may have come before the hello that named it, and while it stands there no heartbeat over another
    takes its place.
    """
    endpoint, connection_id = _endpoint(address)
    management = clients.management(endpoint)
    try:
        management.post_to_connection(ConnectionId=connection_id, Data=message.encode())
    except management.exceptions.GoneException:
        sessions.disconnected(session_id, address)
    except (ClientError, BotoCoreError) as error:
        logger.info("an agent could not be posted to", extra={"connection": address, "error": str(error)})


def tell(user_id: str, session_id: str, workflow_id: str, messages: Iterable[str]) -> bool:
    """Sends the messages to those of the account's clients that want to hear of this workflow: to all at once, one
    second, no second try; who is gone is forgotten. False where nobody listens.

    Who misses one message is not sent those after it: it reads them where it reads that one, and a second for each
    would keep an agent waiting for its acknowledgement.
    """
    now = clock.now_ms()
    listeners = [each for each in connections.clients_of(user_id) if each.hears(session_id, workflow_id, now)]
    reached = listeners
    for message in messages if listeners else ():
        reached = _broadcast(reached, message)
    return bool(listeners)


def _broadcast(to: list[ClientConnection], message: str) -> list[ClientConnection]:
    """Those of them that it reached."""
    if len(to) == 1:
        return to if _post_or_forget(to[0], message) else []
    reached = _threads().map(lambda connection: _post_or_forget(connection, message), to)
    return [connection for connection, was_reached in zip(to, reached, strict=True) if was_reached]


def disconnect(address: str) -> None:
    endpoint, connection_id = _endpoint(address)
    try:
        clients.management(endpoint).delete_connection(ConnectionId=connection_id)
    except (ClientError, BotoCoreError) as error:
        logger.info("a connection could not be closed", extra={"connection": address, "error": str(error)})


def disconnect_credential(user_id: str, credential_id: str) -> None:
    """Closes the sockets that were opened with a key or token that is no more."""
    for client in connections.clients_of(user_id):
        if client.credential_id == credential_id:
            connections.close_client(client)
            disconnect(client.address)


def _post_or_forget(connection: ClientConnection, message: str) -> bool:
    endpoint, connection_id = _endpoint(connection.address)
    management = clients.management(endpoint)
    try:
        management.post_to_connection(ConnectionId=connection_id, Data=message.encode())
    except management.exceptions.GoneException:
        if not connection.may_be_opening(clock.now_ms()):  # else it would be open, and deaf, for two hours
            connections.close_client(connection)
    except (ClientError, BotoCoreError) as error:
        logger.info("a client missed an event", extra={"connection": connection.address, "error": str(error)})
    else:
        return True
    return False


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=16)


def _endpoint(address: str) -> tuple[str, str]:
    api_id, stage, connection_id = address.split("/")
    form = settings().management_endpoint
    return form.format(apiId=api_id, stage=stage, region=settings().region), connection_id
