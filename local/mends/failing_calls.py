"""Calls that fail.

AWS throttles calls, refuses writes that meet a transaction, fails at times, and a reply may be lost after the call took
effect; a function may die with it.

MiniStack takes every call and always answers. Here the calls of functions, known by the key of their role, fare as the
plan says that a test sets over the front door: `POST /_local/faults` with {"door": "aws", "plan": {…}}. The stack's own
calls, and all of them while there is no plan, pass through.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import signal
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from local.call_faults import CallFaults, CallPlan, Fate, Refusal, lost_reply
from local.faults import NotAPlanError
from local.home import Home
from local.mends.admin import App, Receive, Scope, Send

CONTROL_PATH = "/_local/faults"
_SIGNED_BY_A_ROLE = re.compile(r"Credential=ASIA\w+/\d+/[\w-]+/([\w-]+)/aws4_request")
_BY_METHOD = {
    "s3": {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"},
    "execute-api": {"POST": "PostToConnection", "DELETE": "DeleteConnection", "GET": "GetConnection"},
}


def apply(home: Home) -> None:
    from ministack import app

    app.app = failing(app.app, CallFaults(), home.control_secret)


def failing(app: App, faults: CallFaults, secret: Callable[[], str]) -> App:
    """The same application, under the faults' plan; the plan is set at CONTROL_PATH."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["path"] == CONTROL_PATH:
            await _control(faults, secret(), scope, receive, send)
        elif not faults.plan.calls or (call := call_of(scope)) is None:
            await app(scope, receive, send)
        else:
            await _befall(faults.next_fate(call), call, app, scope, receive, send)

    return serve


async def _control(faults: CallFaults, secret: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the counts of the plan that ends, so that a test sees that it met what it was to meet."""
    if not hmac.compare_digest(_header(scope, b"x-local-secret").encode(), secret.encode()):
        await _answer(send, 403, {"message": "Forbidden"})
        return
    counts = {"calls": dict(faults.counts), "befallen": dict(+faults.befallen)}
    try:
        faults.follow(CallPlan.from_json(json.loads(await _body(receive)).get("plan", {})))
    except NotAPlanError as error:
        await _answer(send, 400, {"message": str(error)})
        return
    await _answer(send, 200, counts)


async def _befall(fate: Fate, call: str, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    if fate.refusal is not None:
        body = await _body(receive)
        await _refuse(send, call, fate.refusal, _reasons(fate, body))
    elif fate.caller_dies:
        await app(scope, receive, _nowhere)
        kill_worker(scope)
    elif fate.reply_lost:
        await app(scope, receive, _nowhere)
        await _refuse(send, call, lost_reply(call), {})
    else:
        await app(scope, receive, send)


def call_of(scope: Scope) -> str | None:
    """The call's name as IAM has it, if a function made it."""
    signed = _SIGNED_BY_A_ROLE.search(_header(scope, b"authorization"))
    if signed is None:
        return None
    service, method = signed[1], scope["method"]
    if service in _BY_METHOD:
        return f"{service}:{_BY_METHOD[service].get(method, method)}"
    return f"{service}:{_header(scope, b'x-amz-target').rpartition('.')[2]}"


def _reasons(fate: Fate, body: bytes) -> dict[str, Any]:
    """For a transaction, which of its writes it was refused for."""
    if fate.refusal is None or fate.refusal.reason is None:
        return {}
    writes = len(json.loads(body)["TransactItems"])
    reasons = [{"Code": "None"} for _ in range(writes)]
    reasons[int(fate.choice * writes)] = {"Code": fate.refusal.reason, "Message": "by the plan"}
    return {"CancellationReasons": reasons}


async def _refuse(send: Send, call: str, refusal: Refusal, more: dict[str, Any]) -> None:
    if call.startswith("s3:"):
        words = f"<Error><Code>{escape(refusal.code)}</Code><Message>by the plan</Message></Error>"
        await _answer(send, refusal.status, words, b"application/xml")
    else:
        content = {"__type": refusal.code, "message": "by the plan", **more}
        await _answer(send, refusal.status, content, more=[(b"x-amzn-errortype", refusal.code.encode())])


async def _answer(
    send: Send,
    status: int,
    content: dict[str, Any] | str,
    kind: bytes = b"application/json",
    more: list[tuple[bytes, bytes]] | None = None,
) -> None:
    body = (content if isinstance(content, str) else json.dumps(content)).encode()
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _nowhere(_message: MutableMapping[str, Any]) -> None:
    """Where a lost reply goes."""


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


# The caller's process, by its end of the connection


def kill_worker(scope: Scope) -> None:
    """Kills the function's process: a child of this one that holds the connection."""
    inode = _inode(scope["client"][1], scope["server"][1])
    for process in Path("/proc").glob("[0-9]*"):
        if inode and _parent(process) == os.getpid() and f"socket:[{inode}]" in _open_files(process):
            os.kill(int(process.name), signal.SIGKILL)


def _inode(port: int, peer_port: int) -> str | None:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        ends = [int(address.rpartition(":")[2], 16) for address in columns[1:3]]
        if ends == [port, peer_port]:
            return columns[9]
    return None


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def _open_files(process: Path) -> set[str]:
    try:
        return {os.readlink(file) for file in (process / "fd").iterdir()}  # noqa: PTH115 - they may be gone already
    except OSError:
        return set()
