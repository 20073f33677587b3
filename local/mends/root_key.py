"""Who is root.

AWS knows no guessable root key, and refuses a request without credentials.

MiniStack takes the key `test`, every 12-digit number and an empty key for the account's root, the first two without
looking at the signature. A sandbox that reached the port would own the platform. Here only the stack's own random key
is root, and its signature counts like any other.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import hmac
import os


def is_root_access_key(access_key_id: str) -> bool:
    return hmac.compare_digest(access_key_id.encode(), os.environ["AWS_ACCESS_KEY_ID"].encode())


def never(_access_key_id: str) -> bool:
    return False


def apply() -> None:
    from ministack.core import iam_evaluator
    from ministack.services import sts

    iam_evaluator.is_root_access_key = is_root_access_key
    # Asked only for whether to leave the signature unchecked.
    iam_evaluator._is_root_key = never
    # It was imported there by name.
    sts.is_root_access_key = is_root_access_key
