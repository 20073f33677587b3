"""A record of what functions call.

AWS tells it in CloudTrail's data events, with the role that called, and in each service's own metering.

MiniStack writes down neither who was judged for what nor what was read and written; its consumed capacity is made up.
Here each call that a role makes, and each run of a function, becomes a line of `logs/calls.jsonl` (see `calls.py`).
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from local.calls import Call, Check, Invocation, Read, Written
from local.mends.admin import App, Receive, Scope, Send

LARGEST = 64 * 1024 * 1024
"""Bytes of record over which a starting emulator begins a new one."""


@dataclass
class Underway:
    """What is known so far of the request in hand."""

    role: str = ""
    function: str = ""
    service: str = ""
    consistent: bool = False
    status: int = 0
    sent: int = 0
    received: int = 0
    checks: list[Check] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    writes: list[Written] = field(default_factory=list)


_in_hand: ContextVar[Underway | None] = ContextVar("_in_hand", default=None)


class Record:
    def __init__(self, path: Path) -> None:
        if path.exists() and path.stat().st_size > LARGEST:
            path.unlink()
        self._file = path.open("a", buffering=1)
        self._writing = threading.Lock()

    def add(self, entry: Call | Invocation) -> None:
        line = json.dumps(asdict(entry), separators=(",", ":")) + "\n"
        with self._writing:
            self._file.write(line)


def apply(path: Path) -> None:
    from ministack import app
    from ministack.core import iam_evaluator
    from ministack.services import dynamodb, lambda_svc

    record = Record(path)
    app.app = recording(app.app, record)
    iam_evaluator.enforce = noting_checks(iam_evaluator.enforce)
    app.SERVICE_HANDLERS["dynamodb"] = noting_writes(dynamodb, app.SERVICE_HANDLERS["dynamodb"])
    dynamodb._paginate_evaluated_items = noting_pages(dynamodb, dynamodb._paginate_evaluated_items)
    lambda_svc._execute_function_warm = noting_runs(lambda_svc._execute_function_warm, record)


# Calls


def recording(app: App, record: Record) -> App:
    """The same application, which counts the bytes of each request and records those that a role made."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        call, begun = Underway(), time.time()

        async def receive_counted() -> Any:
            message = await receive()
            call.sent += len(message.get("body", b""))
            return message

        async def send_counted(message: Any) -> None:
            call.status = message.get("status", call.status)
            call.received += len(message.get("body", b""))
            await send(message)

        in_hand = _in_hand.set(call)
        try:
            await app(scope, receive_counted, send_counted)
        finally:
            _in_hand.reset(in_hand)
            if call.role:
                record.add(_finished(call, begun, _target(scope) or scope["method"]))

    return counted


def _finished(call: Underway, begun: float, operation: str) -> Call:
    return Call(
        at=round(begun, 4),
        role=call.role,
        function=call.function,
        service=call.service,
        operation=operation,
        status=call.status,
        sent=call.sent,
        received=call.received,
        milliseconds=round((time.time() - begun) * 1000, 2),
        checks=tuple(call.checks),
        reads=tuple(call.reads),
        writes=tuple(call.writes),
    )


def _target(scope: Scope) -> str:
    """`PutItem` of `DynamoDB_20120810.PutItem`; nothing where a service is not asked by this header."""
    targets = (value.decode() for name, value in scope["headers"] if name == b"x-amz-target")
    return next(targets, "").rpartition(".")[2]


def noting_checks(enforce: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(enforce)
    def enforce_and_note(access_key: str, action: str, service: str, *rest: Any, **named: Any) -> Any:
        refusal = enforce(access_key, action, service, *rest, **named)
        call = _in_hand.get()
        if call is not None and (caller := _role(access_key)):
            call.role, call.function = caller
            call.service = service
            known = tuple(sorted(name for name, value in (named.get("service_context") or {}).items() if value))
            call.checks.append(Check(action, named.get("resource_arn", "*"), refusal is None, known))
        return refusal

    return enforce_and_note


def _role(access_key: str) -> tuple[str, str] | None:
    """Role and session of `arn:aws:sts::…:assumed-role/ROLE/SESSION`; a function's session has its name."""
    from ministack.services import sts

    arn = (sts._sessions.get(access_key) or {}).get("Arn", "")
    _, is_role, names = arn.partition(":assumed-role/")
    role, _, session = names.partition("/")
    return (role, session) if is_role else None


# What DynamoDB read and wrote

WRITES = {"PutItem": "Put", "UpdateItem": "Update", "DeleteItem": "Delete"}
Item = Mapping[str, Any]


def noting_writes(dynamodb: Any, handle: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(handle)
    async def handle_and_note(method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any) -> Any:
        call = _in_hand.get()
        if call is None or not call.role:
            return await handle(method, path, headers, body, query)
        operation, asked = headers.get("x-amz-target", "").rpartition(".")[2], json.loads(body)
        call.consistent = asked.get("ConsistentRead", False)
        writes = list(_writes(operation, asked))
        before = [_stored(dynamodb, write) for write in writes]
        reply = await handle(method, path, headers, body, query)
        for write, old in zip(writes, before, strict=True):
            call.writes.append(_written(dynamodb, write, old, transacted=operation == "TransactWriteItems"))
        call.reads += _reads(dynamodb, operation, asked)
        return reply

    return handle_and_note


def _writes(operation: str, asked: Any) -> Iterator[Any]:
    """The single writes that a request asks for, conditions on other items among them."""
    if operation in WRITES:
        yield asked
    for entry in asked.get("TransactItems", ()):
        yield from entry.values()


def _stored(dynamodb: Any, asked: Any) -> Item:
    """The item that a request names by key, as it is now; empty where there is none."""
    table = dynamodb._tables.get(dynamodb._normalize_table_name(asked["TableName"])) or {}
    if not table:
        return {}
    key = asked.get("Key") or asked["Item"]
    pk, sk, refusal = dynamodb._resolve_table_key_values(table, key, allow_extra=True)
    found: Item = {} if refusal else dict(table["items"].get(pk, {}).get(sk) or {})
    return found


def _written(dynamodb: Any, asked: Any, old: Item, *, transacted: bool) -> Written:
    new, size = _stored(dynamodb, asked), dynamodb._item_size_bytes
    table = dynamodb._tables[dynamodb._normalize_table_name(asked["TableName"])]
    entries = []
    for index in table.get("GlobalSecondaryIndexes") or ():
        gone, there = (_entry(dynamodb, table, index, item) for item in (old, new))
        if gone != there:
            entries += [size(entry) for entry in (gone, there) if entry]
    return Written(size(old), size(new), transacted, tuple(entries))


def _entry(dynamodb: Any, table: Any, index: Any, item: Item) -> Item:
    """What an index holds of an item, which is nothing where the item lacks one of the index's keys."""
    if not all(key["AttributeName"] in item for key in index["KeySchema"]):
        return {}
    entry: Item = dynamodb._apply_index_projection(item, table, index["IndexName"])
    return entry


def _reads(dynamodb: Any, operation: str, asked: Any) -> Iterator[Read]:
    """Queries are noted page by page, below."""
    wanted = [asked] if operation == "GetItem" else []
    for table, keys in asked.get("RequestItems", {}).items() if operation == "BatchGetItem" else ():
        consistent = keys.get("ConsistentRead", False)
        wanted += [{"TableName": table, "Key": key, "ConsistentRead": consistent} for key in keys["Keys"]]
    for get in wanted:
        yield Read(dynamodb._item_size_bytes(_stored(dynamodb, get)), get.get("ConsistentRead", False))


def noting_pages(dynamodb: Any, paginate: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(paginate)
    def paginate_and_note(items: Any, limit: Any, table: Any, index_name: str | None = None) -> Any:
        page, more = paginate(items, limit, table, index_name)
        call = _in_hand.get()
        if call is not None:
            read = [dynamodb._apply_index_projection(item, table, index_name) if index_name else item for item in page]
            call.reads.append(Read(sum(map(dynamodb._item_size_bytes, read)), call.consistent, index_name))
        return page, more

    return paginate_and_note


# Runs of functions


def noting_runs(execute: Callable[..., Any], record: Record) -> Callable[..., Any]:
    @wraps(execute)
    def execute_and_note(function: Any, event: Any, request_id: str) -> Any:
        begun = time.time()
        result = execute(function, event, request_id)
        log = result.get("log") or ""
        record.add(
            Invocation(
                at=round(begun, 4),
                function=(function.get("config") or function).get("FunctionName", "unknown"),
                route=_route(event),
                sent=_body_size(event),
                received=_body_size(result.get("body")),
                logged=len(log.encode()),
                lines=log.count("\n") + bool(log),
                milliseconds=round((time.time() - begun) * 1000, 2),
                failed=bool(result.get("error")),
            )
        )
        return result

    return execute_and_note


def _route(event: Any) -> str:
    if not isinstance(event, dict):
        return ""
    context = event.get("requestContext")
    route = context.get("routeKey") if isinstance(context, dict) else event.get("step")
    return str(route or event.get("httpMethod") or "")


def _body_size(content: Any) -> int:
    """Of what API Gateway takes and gives: the body within an event or an answer."""
    if isinstance(content, dict) and ("requestContext" in content or "statusCode" in content):
        content = content.get("body")
    text = content if isinstance(content, str) else json.dumps(content) if content is not None else ""
    return len(text.encode())
