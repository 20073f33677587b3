"""Inputs too large for a message: a JSON object that the platform put in S3 and presigned for this task."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from agent.command import NotStartedError
from agent.connection import backoff
from agent.protocol import Exec

_TRIES = 4
_TIMEOUT_SECONDS = 20
_SIZE_LIMIT = 16 * 1024 * 1024


async def complete(order: Exec) -> Exec:
    """`order` with its inputs in it. Raises NotStartedError."""
    if not order.inputs_url:
        return order
    try:
        inputs = json.loads(await _fetch(order.inputs_url))
        return replace(
            order,
            command=inputs["command"],
            env=inputs.get("env") or {},
            cwd=inputs.get("cwd"),
            stdin=inputs.get("stdin"),
            stdin_encoding=inputs.get("stdinEncoding") or "utf-8",
            inputs_url=None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotStartedError("the command's inputs are not what the agent can read") from error


async def _fetch(url: str) -> bytes:
    for tries in range(_TRIES):
        try:
            return await asyncio.to_thread(_download, url)
        except OSError as error:
            # Without the address in it: the signature makes that a secret.
            failure = NotStartedError(f"the command's inputs could not be fetched: {type(error).__name__}")
            if tries == _TRIES - 1 or getattr(error, "code", 500) in (403, 404):
                raise failure from None
        await asyncio.sleep(backoff(tries))
    raise AssertionError


def _download(url: str) -> bytes:
    # Not with the rest: it is a tenth of what the agent loads, every sandbox waits for that, and few need this.
    from urllib.request import ProxyHandler, build_opener

    if not url.startswith(("http://", "https://")):
        raise ValueError("not an address of HTTP")
    with build_opener(ProxyHandler({})).open(url, timeout=_TIMEOUT_SECONDS) as response:
        content: bytes = response.read(_SIZE_LIMIT + 1)
    if len(content) > _SIZE_LIMIT:
        raise ValueError("too large")
    return content
