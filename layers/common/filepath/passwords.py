"""Passwords, hashed with argon2id at the library's recommended cost.

Verifying takes tens of milliseconds on purpose, also for an address that has no account, so that the time of an
answer does not tell which addresses have one.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

_hasher = PasswordHasher()
NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$GtpjziAKPCfOJf+wyfZMnA$Bo0F6U3JHUhAAsv76CPLJNmc15pbgLTn5cew9RB79Ww"
"""Made like every other hash, of a password that nobody knows: verifying against it takes as long."""


def hashed(password: str) -> str:
    return _hasher.hash(password)


def matches(password: str, stored: str | None) -> bool:
    try:
        _hasher.verify(stored or NOBODYS, password)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return stored is not None
