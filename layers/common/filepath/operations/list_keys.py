from __future__ import annotations

from typing import Annotated

from pydantic import Field

from filepath.access import Scope
from filepath.aws import accounts
from filepath.clock import iso
from filepath.operations.fields import KeyId, Moment, Name
from filepath.operations.registry import Context, Model, Nothing, operation


class KeyView(Model):
    id: KeyId
    name: Name
    start: Annotated[str, Field(examples=["fp_3q8x0"])]
    scopes: list[Scope]
    credit_limit: Annotated[int, Field(examples=[100])] | None = None
    credits_left: Annotated[int, Field(examples=[60])] | None = None
    """What of the limit is neither held nor charged."""
    expires_at: Moment | None = None
    created_at: Moment


class Keys(Model):
    keys: list[KeyView]


@operation("GET", "/api/auth/api-key/list", scope=Scope.ACCOUNT_READ)
def list_keys(context: Context, request: Nothing) -> Keys:
    """The account's API keys, without the keys themselves."""
    return Keys(
        keys=[
            KeyView(
                id=key.key_id,
                name=key.name,
                start=key.start,
                scopes=sorted(key.scopes),
                credit_limit=key.credit_limit,
                credits_left=key.credits_left,
                expires_at=iso(key.valid_until) if key.valid_until else None,
                created_at=iso(key.created_at),
            )
            for key in accounts.list_keys(context.caller.user_id)
        ]
    )
