"""Users, and the secrets that open their accounts: API keys, sign-in tokens, socket tickets, invites.

Only hashes of secrets are kept. A secret's expiry is checked here: DynamoDB's own deletion lags by days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from filepath import ids
from filepath.access import Caller, Scope
from filepath.aws import credits, keys, records, table
from filepath.aws.idempotency import IdempotencyKey, kept
from filepath.aws.table import Check, Delete, Item, Put, TransactionRefused, Write
from filepath.errors import Conflict, Forbidden, NotFound


@dataclass(frozen=True)
class User:
    user_id: str
    email: str
    name: str
    created_at: int
    password_hash: str
    sign_up_key: str | None = None
    """Hash of the Idempotency-Key the account was made with."""


@dataclass(frozen=True)
class ApiKey:
    key_id: str
    user_id: str
    name: str
    start: str
    secret_hash: str
    scopes: frozenset[Scope]
    created_at: int
    valid_until: int | None = None
    credit_limit: int | None = None
    """Credits that tasks submitted with it may cost in all."""
    credits_left: int | None = None
    """What of that is neither held nor charged."""


def user(user_id: str) -> User | None:
    item = table.get(keys.user(user_id))
    return _user(item) if item else None


def user_by_email(email: str) -> User | None:
    """An address without an account takes as many reads: what signing in answers is not to be told by its time."""
    item = table.get(keys.email(email)) or {}
    return user(item.get("userId", "nobody"))


def sign_up(new: User, opening_credits: int, invite: str | None) -> None:
    """The account with its opening credits. Raises Conflict where the address is taken, Forbidden where the invite
    was used meanwhile.
    """
    writes: list[Write] = [
        Put({**keys.email(new.email), "userId": new.user_id}, new=True),
        Put({**keys.user(new.user_id), **records.item_of(new)}, new=True),
        credits.opened(new.user_id, opening_credits),
    ]
    if opening_credits:
        writes.append(credits.entered(new.user_id, new.created_at, "sign-up", "grant", opening_credits))
    if invite:
        writes.append(Delete(keys.secret(ids.hashed(invite)), condition="#kind = :kind", values={"kind": "invite"}))
    try:
        table.transact(writes)
    except TransactionRefused as error:
        if 0 in error.refused:
            raise Conflict("This address has an account already. Sign in instead.") from error
        raise Forbidden("This invite was used already. Ask the owner for another.") from error


def open_secret(secret: str, now: int) -> Item | None:
    """What the secret opens, with `kind` and `userId`; None where it is unknown or expired."""
    item = table.get(keys.secret(ids.hashed(secret)))
    if item is None or ("expiresAt" in item and item["expiresAt"] * 1000 <= now):
        return None
    return item


def keep_token(token: str, user_id: str, expires_at: int) -> None:
    """What signing in gives. `expires_at`, here and below, in milliseconds."""
    _keep(token, {"kind": "token", "userId": user_id}, expires_at)


def keep_ticket(ticket: str, caller: Caller, expires_at: int) -> None:
    """A ticket can what its maker can."""
    opens = {
        "kind": "ticket",
        "userId": caller.user_id,
        "credentialId": caller.credential_id,
        "validUntil": caller.valid_until,
    }
    _keep(ticket, {**opens, "scopes": frozenset(map(str, caller.scopes)) or None}, expires_at)


def keep_invite(invite: str, expires_at: int) -> None:
    _keep(invite, {"kind": "invite"}, expires_at)


def _keep(secret: str, opens: Item, expires_at: int) -> None:
    table.put(Put({**keys.secret(ids.hashed(secret)), **opens, "expiresAt": expires_at // 1000}))


def use_up(secret: str) -> bool:
    """Takes a single-use secret; False where somebody did before."""
    try:
        table.delete(Delete(keys.secret(ids.hashed(secret)), condition="attribute_exists(pk)"))
    except table.ConditionFailed:
        return False
    return True


def still_valid(user_id: str, credential_id: str) -> Check:
    """That a key, or the sign-in token with this hash, was not revoked, for the transaction that relies on it."""
    is_key = credential_id.startswith("key_")
    key = keys.api_key(user_id, credential_id) if is_key else keys.secret(credential_id)
    return Check(key, "attribute_exists(pk)")


def forget_secret(secret_hash: str) -> None:
    table.delete(Delete(keys.secret(secret_hash)))


def create_key(new: ApiKey, idempotency: IdempotencyKey | None, answer: Mapping[str, object]) -> None:
    """Raises Conflict where the same request made its key before."""
    expiry = {"expiresAt": new.valid_until // 1000} if new.valid_until is not None else {}
    opens = {
        "kind": "key",
        "userId": new.user_id,
        "keyId": new.key_id,
        "scopes": frozenset(map(str, new.scopes)),
        **expiry,
    }
    shown = {**keys.api_key(new.user_id, new.key_id), **records.item_of(new)}
    writes: list[Write] = [Put(shown), Put({**keys.secret(new.secret_hash), **opens}, new=True)]
    try:
        table.transact([*writes, *kept(idempotency, answer, new.created_at)])
    except TransactionRefused as error:
        raise Conflict("This key exists already.") from error


def api_key(user_id: str, key_id: str) -> ApiKey | None:
    item = table.get(keys.api_key(user_id, key_id))
    return _key(item) if item else None


def list_keys(user_id: str) -> list[ApiKey]:
    return [_key(item) for item in table.query_all(keys.user_partition(user_id), prefix="KEY#")]


def delete_key(user_id: str, key_id: str) -> None:
    """Revoked from here on: authentication reads consistently. Raises NotFound."""
    item = table.get(keys.api_key(user_id, key_id))
    if item is None:
        raise NotFound("There is no such key. List the keys to see which there are.")
    table.transact([Delete(keys.api_key(user_id, key_id)), Delete(keys.secret(_key(item).secret_hash))])


def grant(user_id: str, credits_granted: int, at: int, reference: str) -> None:
    table.transact(
        [
            credits.granted(user_id, credits_granted),
            credits.entered(user_id, at, reference, "grant", credits_granted),
        ]
    )


def _user(item: Item) -> User:
    return User(**records.fields_of(User, item))


def _key(item: Item) -> ApiKey:
    arguments = records.fields_of(ApiKey, item)
    return ApiKey(**arguments | {"scopes": frozenset(map(Scope, item.get("scopes", ())))})
