from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from filepath import clock, ids
from filepath.access import DEFAULT_KEY_SCOPES, Caller, Scope
from filepath.aws import accounts
from filepath.aws.accounts import ApiKey
from filepath.aws.idempotency import IdempotencyKey, first_answer
from filepath.errors import Conflict, Forbidden, InvalidRequest
from filepath.operations.fields import KeyId, Moment, Name
from filepath.operations.registry import Context, Model, idempotency, operation

_START_CHARS = 8


class CreateKey(Model):
    name: Name
    expires_in_seconds: Annotated[int, Field(ge=1, le=10 * 365 * 24 * 3600, examples=[86_400])] | None = None
    credit_limit: Annotated[int, Field(ge=1, le=10**9, examples=[100])] | None = None
    """Credits that tasks submitted with it may cost in all, held ones counted; the account's own unless given."""
    scopes: Annotated[tuple[Scope, ...], Field(examples=[["tasks:read", "tasks:write"]])] | None = None


class KeyCreated(Model):
    id: KeyId
    key: Annotated[str, Field(examples=["fp_3q8x…"])]
    """Shown here and never again."""
    name: Name
    start: Annotated[str, Field(examples=["fp_3q8x0"])]
    scopes: list[Scope]
    credit_limit: Annotated[int, Field(examples=[100])] | None = None
    expires_at: Moment | None = None
    created_at: Moment


@operation("POST", "/api/auth/api-key/create", scope=Scope.KEYS_WRITE, creates=True)
def create_key(context: Context, request: CreateKey) -> KeyCreated:
    """Make an API key. The key itself is shown once, here.

    Without `scopes` it has all but `keys:write`. It cannot have a scope that the credential of this request lacks, and
    one made with another key ends with that key at the latest.
    """
    if context.idempotency_key is None:
        return _create(context, request, ids.api_key(clock.entropy()), None, {})
    credential = context.caller.secret
    if credential is None:
        raise InvalidRequest(
            "On the socket createKey takes no idempotencyKey. Send it to POST /api/auth/api-key/create.",
            details={"field": "idempotencyKey"},
        )
    key = idempotency(context, "create_key", request, credential=context.caller.credential_id)
    return _created_before(context, key, credential) or _create_once(context, request, key, credential)


def _create_once(context: Context, request: CreateKey, key: IdempotencyKey | None, credential: str) -> KeyCreated:
    """Derives the new key from the caller's own credential and a salt, which is kept: so the first answer can be given
    again, to who sends that credential again, although only a hash of the key is stored."""
    salt = clock.entropy().hex()
    try:
        return _create(context, request, ids.api_key(ids.derived(credential, salt)), key, {"salt": salt})
    except Conflict:
        before = _created_before(context, key, credential)
        if before is None:
            raise
        return before


def _created_before(context: Context, key: IdempotencyKey | None, credential: str) -> KeyCreated | None:
    answer = first_answer(key, context.now)
    if answer is None:
        return None
    secret = ids.api_key(ids.derived(credential, answer.pop("salt")))
    return KeyCreated.model_validate({**answer, "key": secret}, strict=False)


def _create(
    context: Context, request: CreateKey, secret: str, key: IdempotencyKey | None, kept: Mapping[str, str]
) -> KeyCreated:
    new = ApiKey(
        key_id=ids.key_id(clock.entropy()),
        user_id=context.caller.user_id,
        name=request.name,
        start=secret[:_START_CHARS],
        secret_hash=ids.hashed(secret),
        scopes=_scopes(context.caller, request),
        credit_limit=request.credit_limit,
        credits_left=request.credit_limit,
        created_at=context.now,
        valid_until=_valid_until(context, request),
    )
    shown = _shown(new, secret)
    accounts.create_key(new, key, {**shown.model_dump(exclude={"key"}), **kept})
    return shown


def _scopes(caller: Caller, request: CreateKey) -> frozenset[Scope]:
    if request.scopes is None:
        return DEFAULT_KEY_SCOPES & caller.scopes
    missing = sorted(set(request.scopes) - caller.scopes)
    if missing:
        raise Forbidden(
            f"This credential lacks {', '.join(missing)}, so a key made with it cannot have them.",
            details={"missing": missing},
        )
    if request.credit_limit is not None and Scope.KEYS_WRITE in request.scopes:
        raise InvalidRequest(
            "A key with a creditLimit cannot have keys:write, with which it could make one without. Leave out either.",
            details={"field": "creditLimit"},
        )
    if not request.scopes:
        raise InvalidRequest("A key needs at least one scope.", details={"field": "scopes"})
    return frozenset(request.scopes)


def _valid_until(context: Context, request: CreateKey) -> int | None:
    asked = None if request.expires_in_seconds is None else context.now + request.expires_in_seconds * 1000
    made_with_key = context.caller.credential_id.startswith("key_")
    bounds = [asked, context.caller.valid_until if made_with_key else None]
    return min((bound for bound in bounds if bound is not None), default=None)


def _shown(key: ApiKey, secret: str) -> KeyCreated:
    return KeyCreated(
        id=key.key_id,
        key=secret,
        name=key.name,
        start=key.start,
        scopes=sorted(key.scopes),
        credit_limit=key.credit_limit,
        expires_at=clock.iso(key.valid_until) if key.valid_until else None,
        created_at=clock.iso(key.created_at),
    )
