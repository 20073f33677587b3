from __future__ import annotations

from typing import Annotated

from pydantic import Field

from filepath import clock, ids
from filepath.authentication import TICKET_PREFIX
from filepath.aws import accounts
from filepath.operations.fields import Moment
from filepath.operations.registry import Context, Model, Nothing, operation
from filepath.settings import settings

_SECONDS = 60


class SocketTicket(Model):
    ticket: Annotated[str, Field(examples=["fpk_7d2…"])]
    url: Annotated[str, Field(examples=["wss://abc123.execute-api.eu-central-1.amazonaws.com/v1"])]
    expires_at: Moment


@operation("POST", "/api/socket-ticket")
def create_socket_ticket(context: Context, request: Nothing) -> SocketTicket:
    """A ticket that opens one socket, within a minute: for browsers, which cannot send a header with it.

    Open `url?ticket=…`. Programs that can send headers open `url` with `x-api-key` and need none.
    """
    ticket = TICKET_PREFIX + ids.base32(int.from_bytes(clock.entropy()), 50)
    expires_at = context.now + _SECONDS * 1000
    accounts.keep_ticket(ticket, context.caller, expires_at)
    return SocketTicket(ticket=ticket, url=_url(context), expires_at=clock.iso(expires_at))


def _url(context: Context) -> str:
    api_id, _, stage = (context.clients_api or "").partition("/")
    return settings().socket_url.format(apiId=api_id, stage=stage, region=settings().region)
