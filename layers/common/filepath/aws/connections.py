"""Open sockets, of clients and of agents.

An address is `apiId/stage/connectionId`, taken from the event that opened the connection: so a function can answer
on an API that it could not name in the template without a circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from filepath import ids
from filepath.access import Scope
from filepath.aws import accounts, keys, records, table
from filepath.aws.table import Delete, Item, Put, TransactionRefused
from filepath.errors import Unauthenticated

_KEPT_SECONDS = 3 * 3600
"""API Gateway ends every connection after two hours; a `$disconnect` that never came leaves its item until then."""
_OPENING_MS = 30_000
"""API Gateway waits 29 s for a `$connect`."""


@dataclass(frozen=True)
class ClientConnection:
    """A client's socket: whose it is, what it may ask, and what it wants to hear of (all, where both are None)."""

    address: str
    user_id: str
    credential_id: str
    scopes: frozenset[Scope]
    session_id: str | None = None
    workflow_id: str | None = None
    valid_until: int | None = None
    opened_at: int = 0

    def hears(self, session_id: str, workflow_id: str, now: int) -> bool:
        wants = self.session_id in {None, session_id} and self.workflow_id in {None, workflow_id}
        may = (Scope.TASKS_READ if ids.is_task(workflow_id) else Scope.SESSIONS_READ) in self.scopes
        return wants and may and not self.has_ended(now)

    def has_ended(self, now: int) -> bool:
        """Whether the credential that opened it has: API Gateway keeps the connection for two hours all the same."""
        return self.valid_until is not None and self.valid_until <= now

    def may_be_opening(self, now: int) -> bool:
        """Whether its `$connect` may not have returned: it is in the table before that, and until then API Gateway
        calls it gone."""
        return now < self.opened_at + _OPENING_MS


@dataclass(frozen=True)
class AgentConnection:
    address: str
    session_id: str
    user_id: str
    instance: str


def open_client(connection: ClientConnection, now: int) -> None:
    """Raises Unauthenticated where the credential was revoked since it was read: who revokes closes what is open, and
    this would be opened behind it.
    """
    item = {**records.item_of(connection), **_kept(now)}
    try:
        table.transact(
            [
                accounts.still_valid(connection.user_id, connection.credential_id),
                Put({**keys.connection(connection.address), **item}),
                Put({**keys.user_connection(connection.user_id, connection.address), **item}),
            ]
        )
    except TransactionRefused as error:
        raise Unauthenticated("This credential was revoked. Create another, or sign in again.") from error


def client(address: str) -> ClientConnection | None:
    item = table.get(keys.connection(address))
    return _client(item) if item else None


def clients_of(user_id: str) -> list[ClientConnection]:
    return [_client(item) for item in table.query_all(keys.user_partition(user_id), prefix="CONNECTION#")]


def close_client(connection: ClientConnection) -> None:
    table.transact(
        [
            Delete(keys.connection(connection.address)),
            Delete(keys.user_connection(connection.user_id, connection.address)),
        ]
    )


def open_agent(connection: AgentConnection, now: int) -> None:
    table.put(Put({**keys.connection(connection.address), **records.item_of(connection), **_kept(now)}))


def agent(address: str) -> AgentConnection | None:
    item = table.get(keys.connection(address))
    return AgentConnection(**records.fields_of(AgentConnection, item)) if item else None


def close_agent(address: str) -> None:
    table.delete(Delete(keys.connection(address)))


def _kept(now: int) -> Mapping[str, int]:
    return {"expiresAt": now // 1000 + _KEPT_SECONDS}


def _client(item: Item) -> ClientConnection:
    arguments = records.fields_of(ClientConnection, item)
    return ClientConnection(**arguments | {"scopes": frozenset(map(Scope, item.get("scopes", ())))})
