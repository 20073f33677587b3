"""The one table: reading, writing on a condition, and writing several items at once.

Values are what they are in Python: text, whole numbers, bytes, booleans, lists, maps, sets of text. Attribute names
in conditions are written `#name`, values `:name`. Keys are in `keys`.
"""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from filepath.aws import clients
from filepath.errors import Unavailable
from filepath.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

T = TypeVar("T")
Item = dict[str, Any]
Key = Mapping[str, str]

_CONFLICT_TRIES = 6
_BATCH = 100
"""Keys that one BatchGetItem takes."""


class ConditionFailed(Exception):
    """A write was refused by its condition. `item` is what stood there; empty where there was nothing."""

    def __init__(self, item: Item) -> None:
        super().__init__("the condition of a write does not hold")
        self.item = item


class TransactionRefused(Exception):
    """A transaction was refused by conditions. `refused` maps the position of each such write to what stood there."""

    def __init__(self, refused: Mapping[int, Item]) -> None:
        super().__init__(f"the conditions of writes {sorted(refused)} do not hold")
        self.refused = refused


@dataclass(frozen=True)
class Put:
    """A whole item; with `new`, only where none with its key stands, or only one of whose `unless` holds."""

    item: Mapping[str, Any]
    new: bool = False
    unless: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """Changes to one item. `add` takes numbers and sets, `discard` sets; `values` are what `condition` compares with.
    `default` sets an attribute only where it is not set yet.
    """

    key: Key
    condition: str | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    default: Mapping[str, Any] = field(default_factory=dict)
    add: Mapping[str, Any] = field(default_factory=dict)
    discard: Mapping[str, Any] = field(default_factory=dict)
    remove: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Delete:
    key: Key
    condition: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """Writes nothing: a condition on one item for the others of its transaction."""

    key: Key
    condition: str


Write = Put | Update | Delete | Check


# Reading


def get(key: Key) -> Item | None:
    """The item as it is now: always a consistent read, since decisions follow from it."""
    reply = clients.dynamodb().get_item(TableName=settings().table, Key=_attributes(key), ConsistentRead=True)
    return _plain(reply["Item"]) if "Item" in reply else None


def get_many(keys: Sequence[Key]) -> list[Item]:
    """Those items that stand there, in the order of `keys`."""
    return [item for item in get_each(keys) if item is not None]


def get_each(keys: Sequence[Key]) -> list[Item | None]:
    """As get() of each key, in one call for a hundred; each is read at a moment of its own."""
    found: dict[tuple[str, str], Item] = {}
    for start in range(0, len(keys), _BATCH):
        for item in _batch(keys[start : start + _BATCH]):
            found[item["pk"], item["sk"]] = item
    return [found.get((key["pk"], key["sk"])) for key in keys]


def _batch(keys: Sequence[Key]) -> Iterator[Item]:
    table = settings().table
    wanted: Any = {table: {"Keys": [_attributes(key) for key in keys], "ConsistentRead": True}}
    while wanted:
        reply = clients.dynamodb().batch_get_item(RequestItems=wanted)
        yield from map(_plain, reply["Responses"].get(table, []))
        wanted = reply.get("UnprocessedKeys")


@dataclass(frozen=True)
class Page:
    items: list[Item]
    last: Key | None
    """Where the next page starts behind; None at the end."""


def query(
    partition: str,
    *,
    prefix: str = "",
    index: str | None = None,
    start: str | None = None,
    end: str | None = None,
    after: Key | None = None,
    limit: int | None = None,
    backwards: bool = False,
) -> Page:
    """Items of one partition in the order of their sort keys: those that begin with `prefix`, and lie
    between `start` and `end` where these are given. Consistent, except on an index, which cannot be.
    """
    pk, sk = ("pk", "sk") if index is None else (f"{index}Pk", f"{index}Sk")
    values = {":pk": partition}
    condition = f"{pk} = :pk"
    if start is not None or end is not None:
        condition += f" AND {sk} BETWEEN :start AND :end"
        values |= {":start": start or prefix, ":end": end or prefix + "\uffff"}
    elif prefix:
        condition += f" AND begins_with({sk}, :prefix)"
        values[":prefix"] = prefix
    options: dict[str, Any] = {"ScanIndexForward": not backwards, "ConsistentRead": index is None}
    if index is not None:
        options["IndexName"] = index
    if limit is not None:
        options["Limit"] = limit
    if after is not None:
        options["ExclusiveStartKey"] = _attributes(after)
    reply = clients.dynamodb().query(
        TableName=settings().table,
        KeyConditionExpression=condition,
        ExpressionAttributeValues=_attributes(values),
        **options,
    )
    last = reply.get("LastEvaluatedKey")
    return Page([_plain(item) for item in reply["Items"]], _plain(last) if last else None)


def query_all(
    partition: str,
    *,
    prefix: str = "",
    index: str | None = None,
    start: str | None = None,
    end: str | None = None,
) -> Iterator[Item]:
    after: Key | None = None
    while True:
        page = query(partition, prefix=prefix, index=index, start=start, end=end, after=after)
        yield from page.items
        if page.last is None:
            return
        after = page.last


# Writing


def put(write: Put) -> None:
    """Raises ConditionFailed when it is to be new and is not."""
    _checked(lambda: clients.dynamodb().put_item(**_put(write)))


def update(write: Update) -> Item:
    """The item as it is afterwards. Raises ConditionFailed."""
    reply = _checked(lambda: clients.dynamodb().update_item(**_update(write), ReturnValues="ALL_NEW"))
    return _plain(reply["Attributes"])


def delete(write: Delete) -> None:
    """Raises ConditionFailed. To delete what is not there is no failure."""
    _checked(lambda: clients.dynamodb().delete_item(**_delete(write)))


def transact(writes: Sequence[Write]) -> None:
    """All of the writes or none. Raises TransactionRefused when conditions do not hold."""
    items = [_transacted(write) for write in writes]
    # One for all tries: whatever became of an earlier one, it is done once, and a try after it succeeds as it did.
    token = uuid.uuid4().hex

    def attempt() -> None:
        try:
            clients.dynamodb().transact_write_items(TransactItems=items, ClientRequestToken=token)
        except clients.dynamodb().exceptions.TransactionCanceledException as error:
            refused = _refused(cast("dict[str, Any]", error.response))
            if refused:
                raise TransactionRefused(refused) from error
            raise

    _past_conflicts(attempt)


def _refused(response: Mapping[str, Any]) -> dict[int, Item]:
    """Raises Unavailable for a reason other than a condition or a conflict: throttling, most likely."""
    reasons = response.get("CancellationReasons", [])
    codes = {reason.get("Code") for reason in reasons}
    refused = {
        position: _plain(reason.get("Item") or {})
        for position, reason in enumerate(reasons)
        if reason.get("Code") == "ConditionalCheckFailed"
    }
    if not refused and not codes <= {"None", None, "TransactionConflict"}:
        raise Unavailable("The table is busy. Send the same request again in a moment.")
    return refused


def _checked(call: Callable[[], T]) -> T:
    try:
        return _past_conflicts(call)
    except clients.dynamodb().exceptions.ConditionalCheckFailedException as error:
        item = cast("dict[str, Any]", error.response).get("Item") or {}
        raise ConditionFailed(_plain(item)) from error


def _past_conflicts(call: Callable[[], T]) -> T:
    """Two writes to one item at once, one of them a transaction, refuse each other without either being wrong: tried
    again a few times at random moments, then Unavailable. botocore does not, for it takes them for our mistake."""
    known = clients.dynamodb().exceptions
    for attempt in range(_CONFLICT_TRIES):
        try:
            return call()
        except (
            known.TransactionCanceledException,
            known.TransactionConflictException,
            known.TransactionInProgressException,
        ):
            time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, no secret
    raise Unavailable("Too many changes to this account at once. Send the same request again in a moment.")


# Rendering a write as DynamoDB wants it

_KEEP_OLD: dict[str, Any] = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def _put(write: Put) -> dict[str, Any]:
    condition = "attribute_not_exists(pk)" if write.new else None
    if condition and write.unless:
        condition += f" OR {write.unless}"
    rendered: dict[str, Any] = {"TableName": settings().table, "Item": _attributes(write.item)}
    return rendered | _expressions("", condition, write.values)


def _delete(write: Delete) -> dict[str, Any]:
    rendered: dict[str, Any] = {"TableName": settings().table, "Key": _attributes(write.key)}
    return rendered | _expressions("", write.condition, write.values)


def _update(write: Update) -> dict[str, Any]:
    values: dict[str, Any] = dict(write.values)
    clauses = []
    assignments = [f"#{name} = {_bound(values, 'set', name, value)}" for name, value in write.set.items()]
    assignments += [
        f"#{name} = if_not_exists(#{name}, {_bound(values, 'default', name, value)})"
        for name, value in write.default.items()
    ]
    if assignments:
        clauses.append("SET " + ", ".join(assignments))
    if write.add:
        clauses.append("ADD " + ", ".join(f"#{n} {_bound(values, 'add', n, v)}" for n, v in write.add.items()))
    if write.discard:
        clauses.append(
            "DELETE " + ", ".join(f"#{n} {_bound(values, 'discard', n, v)}" for n, v in write.discard.items())
        )
    if write.remove:
        clauses.append("REMOVE " + ", ".join(f"#{name}" for name in write.remove))
    expression = " ".join(clauses)
    rendered: dict[str, Any] = {"TableName": settings().table, "Key": _attributes(write.key)}
    if expression:
        rendered["UpdateExpression"] = expression
    return rendered | _expressions(expression, write.condition, values)


def _bound(values: dict[str, Any], clause: str, name: str, value: Any) -> str:
    """Notes `value` under a placeholder of its own and returns the placeholder."""
    placeholder = f"{clause}_{name}"
    values[placeholder] = value
    return f":{placeholder}"


def _expressions(expression: str, condition: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    rendered: dict[str, Any] = {}
    if condition:
        rendered |= {"ConditionExpression": condition, **_KEEP_OLD}
    names = set(re.findall(r"#(\w+)", f"{expression} {condition or ''}"))
    if names:
        rendered["ExpressionAttributeNames"] = {f"#{name}": name for name in sorted(names)}
    if values:
        rendered["ExpressionAttributeValues"] = _attributes({f":{name}": v for name, v in values.items()})
    return rendered


def _transacted(write: Write) -> TransactWriteItemTypeDef:
    match write:
        case Put():
            return cast("TransactWriteItemTypeDef", {"Put": _put(write)})
        case Update():
            return cast("TransactWriteItemTypeDef", {"Update": _update(write)})
        case Delete():
            return cast("TransactWriteItemTypeDef", {"Delete": _delete(write)})
        case Check():
            check = {"TableName": settings().table, "Key": _attributes(write.key)}
            check |= _expressions("", write.condition, {})
            return cast("TransactWriteItemTypeDef", {"ConditionCheck": check})


# Values


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in item.items() if value is not None}


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": str(value)}
        case bytes():
            return {"B": value}
        case Mapping():
            return {"M": _attributes(value)}
        case set() | frozenset():
            return {"SS": sorted(value)}
        case Iterable():
            return {"L": [_attribute(entry) for entry in value]}
    raise TypeError(f"the table keeps no {type(value).__name__}")


def _plain(item: Mapping[str, Any]) -> Item:
    return {name: _value(attribute) for name, attribute in item.items()}


def _value(attribute: Mapping[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value)
        case "B":
            return bytes(value)
        case "M":
            return _plain(value)
        case "L":
            return [_value(entry) for entry in value]
        case "SS":
            return frozenset(value)
    return value
