"""Fields that several operations take, each with its bounds. The bounds are the contract's."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Annotated

from pydantic import AfterValidator, EmailStr, Field, StringConstraints

from filepath import ids
from filepath.errors import InvalidRequest, TooLarge

ENV_LIMIT = 64 * 1024
_METADATA_LIMIT = 4 * 1024
_IDEMPOTENCY_KEY_CHARS = 255


def _environment(env: dict[str, str]) -> dict[str, str]:
    size = len(json.dumps(env).encode())
    if size > ENV_LIMIT:
        raise TooLarge(f"env has {size} bytes as JSON; at most {ENV_LIMIT} are taken. Put large values into files.")
    return env


def _metadata(metadata: dict[str, str]) -> dict[str, str]:
    size = len(json.dumps(metadata).encode())
    if size > _METADATA_LIMIT:
        raise TooLarge(f"metadata has {size} bytes as JSON; at most {_METADATA_LIMIT} are taken.")
    return metadata


def without_nul(text: str) -> str:
    """What reaches execve ends at the first NUL."""
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T12:00:00.000Z"])]
"""ISO 8601, UTC."""

_VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
_VariableValue = Annotated[str, AfterValidator(without_nul)]

SessionId = Annotated[
    str,
    StringConstraints(pattern=f"^{ids.SESSION_ID.pattern}$"),
    Field(examples=["ses_01jd4kq9n7x2v8mb3c5t"]),
]
SessionWorkflowId = Annotated[str, Field(examples=["wf_01jd4kq9n7x2v8mb3c5t"])]
WorkflowId = Annotated[
    str,
    StringConstraints(pattern=f"^{ids.WORKFLOW_ID.pattern}$"),
    Field(examples=["wf_01jd4kq9n7x2v8mb3c5t01jd4kqc8r5z"]),
]
OpenWorkflowId = Annotated[
    str,
    StringConstraints(pattern=f"^{ids.WORKFLOW_ID.pattern}$"),
    Field(examples=["wf_01jd4kq9n7x2v8mb3c5t01jd4kqf3w7h"]),
]
"""Of a task that runs, where an example is of one."""
KeyId = Annotated[
    str, StringConstraints(pattern=rf"^key_[{ids.ALPHABET}]{{16}}$"), Field(examples=["key_7c2v9q4n8x3m5b0t"])
]
UserId = Annotated[str, Field(examples=["usr_4kq9n7x2v8mb3c5t"])]
Email = Annotated[EmailStr, StringConstraints(max_length=254, to_lower=True), Field(examples=["ada@example.org"])]
Password = Annotated[str, StringConstraints(min_length=8, max_length=128), Field(examples=["correct horse battery"])]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128), Field(examples=["build"])]
Environment = Annotated[
    dict[_VariableName, _VariableValue], AfterValidator(_environment), Field(examples=[{"CI": "true"}])
]
Metadata = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], str],
    AfterValidator(_metadata),
    Field(examples=[{"branch": "main"}]),
]
Limit = Annotated[int, Field(ge=1, le=100)]
NextToken = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def next_token(position: str | None) -> str | None:
    """Where a list goes on, as callers carry it: opaque, so that it can change."""
    return base64.urlsafe_b64encode(position.encode()).decode() if position else None


def position(token: str | None, form: str) -> str | None:
    """Raises InvalidRequest for what `next_token` did not make. `form` is the pattern of the list's positions."""
    if token is None:
        return None
    try:
        place = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        place = ""
    if not re.fullmatch(form, place):
        raise InvalidRequest(
            "nextToken is none of this list's. Take it from the last page, or leave it out to begin again.",
            details={"field": "nextToken"},
        )
    return place


def idempotency_key(given: object) -> str | None:
    """Raises InvalidRequest."""
    if given is None:
        return None
    if not isinstance(given, str) or not given or len(given) > _IDEMPOTENCY_KEY_CHARS or not given.isprintable():
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {_IDEMPOTENCY_KEY_CHARS} printable characters.",
            details={"field": "Idempotency-Key"},
        )
    return given
