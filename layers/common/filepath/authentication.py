"""Who a request comes from: an API key or a sign-in token becomes a Caller; a ticket opens a socket, once."""

from __future__ import annotations

from filepath import ids
from filepath.access import ALL_SCOPES, Caller, Scope
from filepath.aws import accounts
from filepath.aws.table import Item
from filepath.errors import Unauthenticated

TOKEN_PREFIX = "fpt_"  # noqa: S105 - what it begins with, no secret
TICKET_PREFIX = "fpk_"
INVITE_PREFIX = "fpi_"

_HOW = "Send an API key as `x-api-key: fp_…`, or a key or sign-in token as `Authorization: Bearer …`."


def authenticate(secret: str | None, now: int) -> Caller:
    """Raises Unauthenticated, saying which of missing, malformed, or unknown the credential is. Expired and revoked
    ones are unknown: their records may be gone by then.
    """
    if not secret:
        raise Unauthenticated(f"This call needs a credential. {_HOW}")
    if secret.startswith(ids.KEY_PREFIX) and not ids.is_well_formed_key(secret):
        raise Unauthenticated("This API key is malformed: its checksum is wrong. Copy it again, whole.")
    opened = accounts.open_secret(secret, now)
    if opened is None or opened["kind"] not in {"key", "token"}:
        raise Unauthenticated("This credential is unknown, expired or revoked. Create another, or sign in again.")
    return _caller(opened, secret)


def redeem_ticket(ticket: str, now: int) -> Caller:
    """The caller who made the ticket. It is used up by this, so a second try fails."""
    opened = accounts.open_secret(ticket, now)
    if opened is None or opened["kind"] != "ticket" or not accounts.use_up(ticket):
        raise Unauthenticated("This ticket is unknown, expired or used. Get another with POST /api/socket-ticket.")
    return Caller(opened["userId"], opened["credentialId"], _scopes(opened), valid_until=opened.get("validUntil"))


def bearer(authorization: str | None) -> str | None:
    scheme, _, credential = (authorization or "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


def _caller(opened: Item, secret: str) -> Caller:
    valid_until = opened["expiresAt"] * 1000 if "expiresAt" in opened else None
    if opened["kind"] == "token":
        return Caller(opened["userId"], ids.hashed(secret), ALL_SCOPES, secret, valid_until)
    return Caller(opened["userId"], opened["keyId"], _scopes(opened), secret, valid_until)


def _scopes(opened: Item) -> frozenset[Scope]:
    return frozenset(map(Scope, opened.get("scopes", ())))
