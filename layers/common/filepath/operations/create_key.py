from __future__ import annotations

from typing import Annotated

from pydantic import Field

from filepath import clock, ids
from filepath.access import ALL_SCOPES, DEFAULT_KEY_SCOPES, Caller, Scope
from filepath.aws import accounts
from filepath.aws.accounts import ApiKey
from filepath.aws.idempotency import first_answer
from filepath.errors import Conflict, Forbidden, InvalidRequest
from filepath.operations.fields import Name
from filepath.operations.registry import Context, Model, idempotency, operation

_START_CHARS = 8


class CreateKey(Model):
    name: Name
    expires_in_seconds: Annotated[int, Field(ge=1, le=10 * 365 * 24 * 3600)] | None = None
    scopes: frozenset[Scope] | None = None


class KeyCreated(Model):
    id: str
    key: str
    """Shown here and never again."""
    name: str
    start: str
    scopes: list[str]
    expires_at: str | None = None
    created_at: str


@operation("POST", "/api/auth/api-key/create", scope=Scope.KEYS_WRITE, creates=True, errors=(Conflict,))
def create_key(context: Context, request: CreateKey) -> KeyCreated:
    """Make an API key. The key itself is shown once, here.

    Without `scopes` it has all but `keys:write`. It cannot have a scope that the credential of this request lacks.
    """
    scopes = DEFAULT_KEY_SCOPES & context.caller.scopes if request.scopes is None else request.scopes
    _check_scopes(context.caller, scopes)
    secret, key_id = _secret(context, request)
    new = ApiKey(
        key_id=key_id,
        user_id=context.caller.user_id,
        name=request.name,
        start=secret[:_START_CHARS],
        secret_hash=ids.hashed(secret),
        scopes=scopes,
        created_at=context.now,
        valid_until=context.now + request.expires_in_seconds * 1000 if request.expires_in_seconds else None,
    )
    return _shown(_created(context, request, new), secret)


def _check_scopes(caller: Caller, scopes: frozenset[Scope]) -> None:
    missing = sorted(scopes - caller.scopes)
    if missing:
        raise Forbidden(
            f"This credential lacks {', '.join(missing)}, so a key made with it cannot have them.",
            details={"missing": missing},
        )
    if not scopes <= ALL_SCOPES or not scopes:
        raise InvalidRequest("A key needs at least one scope.", details={"field": "scopes"})


def _secret(context: Context, request: CreateKey) -> tuple[str, str]:
    """A key and its id: random, or, for a request that may be repeated, derived from the caller's own credential.
    So the first answer can be given again although only a hash of the key was ever stored.
    """
    repeatable = idempotency(context, "create_key", request)
    if repeatable is None:
        return ids.api_key(clock.entropy()), ids.key_id(clock.entropy())
    if context.caller.secret is None:
        raise InvalidRequest(
            "On the socket createKey takes no idempotencyKey. Send it to POST /api/auth/api-key/create.",
            details={"field": "idempotencyKey"},
        )
    secret = ids.derived(context.caller.secret, f"api-key:{repeatable.key}")
    return ids.api_key(secret), ids.key_id(ids.derived(context.caller.secret, f"api-key-id:{repeatable.key}"))


def _created(context: Context, request: CreateKey, new: ApiKey) -> ApiKey:
    """The key now in the table: this one, or the one that the same request made before."""
    repeatable = idempotency(context, "create_key", request)
    first_answer(repeatable, context.now)
    try:
        accounts.create_key(new, repeatable)
    except Conflict:
        known = accounts.api_key(new.user_id, new.key_id)
        if known is None:
            raise
        return known
    return new


def _shown(key: ApiKey, secret: str) -> KeyCreated:
    return KeyCreated(
        id=key.key_id,
        key=secret,
        name=key.name,
        start=key.start,
        scopes=sorted(key.scopes),
        expires_at=clock.iso(key.valid_until) if key.valid_until else None,
        created_at=clock.iso(key.created_at),
    )
