"""First answers, kept a day under the caller's Idempotency-Key: the same request again gets the same answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from filepath.aws import keys, table
from filepath.aws.table import Put
from filepath.errors import Conflict

_KEPT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class IdempotencyKey:
    """A caller's key, with the fingerprint of the request it came with."""

    user_id: str
    key: str
    fingerprint: str

    @classmethod
    def of(cls, user_id: str, key: str, operation: str, body: Mapping[str, Any]) -> IdempotencyKey:
        canonical = json.dumps([operation, body], sort_keys=True, separators=(",", ":"))
        return cls(user_id, key, hashlib.sha256(canonical.encode()).hexdigest())


def first_answer(key: IdempotencyKey | None, now: int) -> dict[str, Any] | None:
    """Raises Conflict where the key came with another request before."""
    item = table.get(keys.idempotency(key.user_id, key.key)) if key else None
    if key is None or item is None or item["expiresAt"] * 1000 <= now:
        return None
    if item["fingerprint"] != key.fingerprint:
        raise Conflict("This Idempotency-Key was used for another request. Send a new key with a new request.")
    answer: dict[str, Any] = json.loads(item["answer"])
    return answer


def kept(key: IdempotencyKey | None, answer: Mapping[str, Any], now: int) -> list[Put]:
    """The write that keeps `answer`: belongs into the transaction that does what it answers."""
    if key is None:
        return []
    item = {
        **keys.idempotency(key.user_id, key.key),
        "fingerprint": key.fingerprint,
        "answer": json.dumps(answer),
        "expiresAt": now // 1000 + _KEPT_SECONDS,
    }
    return [Put(item, new=True, unless="#expiresAt <= :now", values={"now": now // 1000})]
