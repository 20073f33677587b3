"""An account's money as it stands in the table, and a watch over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from boto3.dynamodb.types import TypeDeserializer

from local.deployment import client_options
from local.deployment import session as root_session
from tests.stack.conftest import RunningStack

Money = dict[str, int]


@dataclass
class Bank:
    """The account's part of the table, read consistently and past the faults, as the owner may."""

    stack: RunningStack
    user_id: str
    email: str

    @classmethod
    def of(cls, stack: RunningStack, key: str) -> Bank:
        """Of the account that the key is of."""
        answer = httpx.get(f"{stack.url}/api/auth/get-session", headers={"x-api-key": key}, timeout=30)
        return cls(stack, answer.json()["user"]["id"], answer.json()["user"]["email"])

    def __post_init__(self) -> None:
        home = self.stack.home
        self._client = root_session(home).client("dynamodb", **client_options(home))
        self._table = self.stack.output("Table")

    def money(self) -> Money:
        key = {"pk": {"S": f"USER#{self.user_id}"}, "sk": {"S": "CREDIT"}}
        item = _plain(self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)["Item"])
        return {name: int(item[name]) for name in ("granted", "charged", "held", "available")}

    def ledger(self) -> list[dict[str, Any]]:
        return list(self._partition(f"USER#{self.user_id}", "LEDGER#"))

    def tasks(self, session_ids: list[str]) -> list[dict[str, Any]]:
        return [
            task
            for session_id in session_ids
            for task in self._partition("SESSION#" + session_id.removeprefix("ses_"), "TASK#")
        ]

    def _partition(self, partition: str, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": partition}, ":sk": {"S": prefix}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from map(_plain, page["Items"])


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


@dataclass
class Watch:
    """Reads the account all the time, in the table and over REST, and keeps what it should not have seen."""

    look: Callable[[], Money | None]
    readings: int = 0
    wrong: list[Money] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.1):
            money = self.look()
            if money is None:
                continue
            self.readings += 1
            if not adds_up(money):
                self.wrong.append(money)


def adds_up(money: Money) -> bool:
    parts = [money[name] for name in ("charged", "held", "available")]
    return money["granted"] == sum(parts) and min(parts) >= 0
