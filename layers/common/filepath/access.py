"""Who is calling and what they may do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from filepath.errors import Forbidden


class Scope(StrEnum):
    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    KEYS_WRITE = "keys:write"
    ACCOUNT_READ = "account:read"


ALL_SCOPES = frozenset(Scope)
DEFAULT_KEY_SCOPES = ALL_SCOPES - {Scope.KEYS_WRITE}
"""A key that an agent carries about cannot make more keys unless it was made for that."""


@dataclass(frozen=True)
class Caller:
    """An authenticated account, and the credential it came with.

    `credential_id` is the key's id, or the hash of a sign-in token. `secret` is the credential itself, there only
    where the request carried it (not on the socket): a created key is derived from it, so that a replay of the
    request can show the same key again although only its hash is stored.
    """

    user_id: str
    credential_id: str
    scopes: frozenset[Scope]
    secret: str | None = field(default=None, repr=False)
    valid_until: int | None = None
    """When the credential ends, in milliseconds; what it opened or made must not outlive it."""

    @property
    def key_id(self) -> str | None:
        return self.credential_id if self.credential_id.startswith("key_") else None

    def require(self, scope: Scope | None) -> None:
        if scope is not None and scope not in self.scopes:
            raise Forbidden(
                f"This key lacks the scope {scope}. Use a key that has it, or sign in and create one.",
                details={"missing": [str(scope)]},
            )
