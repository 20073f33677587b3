"""Identifiers and secrets: how they look, and how one is read from another. Pure; randomness is an argument.

A task's workflow id contains its session's id, so that a key in the table is computed, never looked up in an index
that may lag, and so that an agent bound to one session cannot even name another session's task.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no i, l, o, u to misread; sorts as the number it stands for."""

SESSION_CHARS = 20
TASK_CHARS = 12
_TIME_CHARS = 9
"""45 bits of milliseconds: until the year 3084."""

SESSION_ID = re.compile(rf"ses_[{ALPHABET}]{{{SESSION_CHARS}}}")
WORKFLOW_ID = re.compile(rf"wf_[{ALPHABET}]{{{SESSION_CHARS}}}([{ALPHABET}]{{{TASK_CHARS}}})?")

KEY_PREFIX = "fp_"
_SECRET_CHARS = 40
_CHECK_CHARS = 6
API_KEY = re.compile(rf"{KEY_PREFIX}[{ALPHABET}]{{{_SECRET_CHARS + _CHECK_CHARS}}}")


def base32(number: int, length: int) -> str:
    """The lowest `length` × 5 bits of `number`."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def _time_sortable(milliseconds: int, entropy: bytes, length: int) -> str:
    return base32(milliseconds, _TIME_CHARS) + base32(int.from_bytes(entropy), length - _TIME_CHARS)


def user_id(entropy: bytes) -> str:
    return "usr_" + base32(int.from_bytes(entropy), 16)


def key_id(entropy: bytes) -> str:
    return "key_" + base32(int.from_bytes(entropy), 16)


def session_id(milliseconds: int, entropy: bytes) -> str:
    return "ses_" + _time_sortable(milliseconds, entropy, SESSION_CHARS)


def task_id(session: str, milliseconds: int, entropy: bytes) -> str:
    """The workflow id of a new task of `session`; later ones of one session sort behind earlier ones."""
    return "wf_" + session.removeprefix("ses_") + _time_sortable(milliseconds, entropy, TASK_CHARS)


def session_workflow_id(session: str) -> str:
    """The workflow of the session itself: its launch, life and end."""
    return "wf_" + session.removeprefix("ses_")


def session_of(workflow: str) -> str:
    return "ses_" + workflow[3 : 3 + SESSION_CHARS]


def is_task(workflow: str) -> bool:
    return len(workflow) > 3 + SESSION_CHARS


def api_key(entropy: bytes) -> str:
    """`fp_`, 200 bits, and a checksum: a mistyped key is told from an unknown one, and secret scanners find it."""
    secret = base32(int.from_bytes(entropy), _SECRET_CHARS)
    return KEY_PREFIX + secret + _checksum(secret)


def is_well_formed_key(key: str) -> bool:
    if not API_KEY.fullmatch(key):
        return False
    secret = key.removeprefix(KEY_PREFIX)[:_SECRET_CHARS]
    return key.endswith(_checksum(secret))


def _checksum(secret: str) -> str:
    return base32(zlib.crc32(secret.encode()), _CHECK_CHARS)


def hashed(secret: str) -> str:
    """How secrets of full entropy are stored. (Passwords are not such: they go through argon2.)"""
    return hashlib.sha256(secret.encode()).hexdigest()


def derived(secret: str, purpose: str) -> bytes:
    """32 bytes that only the holder of `secret` can have made again."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).digest()
