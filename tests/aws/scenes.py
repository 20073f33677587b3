"""What fixtures make of a stack is made once in a process and put back for each further test: making it takes most of
the time of most tests.

Only what begins where the scene before it left off is put back. After any other request or look at the clock it is made
anew, and not kept.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from filepath.aws import clients
from tests.aws.people import Person, Platform

P = ParamSpec("P")
T = TypeVar("T")
Item = dict[str, Any]
TABLE = "filepath"
BATCH = 25
"""DynamoDB's limit of writes in one request."""


@dataclass
class Scene:
    """A stack as it stood when something had been made, and what that was."""

    platform: Platform
    made: Any
    written: list[Item]
    removed: list[Item]
    wire: dict[str, Any]
    begun_ms: int
    now_ms: int

    def put_back(self, platform: Platform) -> Any:
        writes: list[Any] = [{"PutRequest": {"Item": item}} for item in self.written]
        writes += [{"DeleteRequest": {"Key": _key(item)}} for item in self.removed]
        for start in range(0, len(writes), BATCH):
            clients.dynamodb().batch_write_item(RequestItems={TABLE: writes[start : start + BATCH]})
        vars(platform.wire).update(copy.deepcopy(self.wire))
        platform.clock.begun_ms, platform.clock.now_ms = self.begun_ms, self.now_ms
        return copy.deepcopy(self.made, {id(self.platform): platform})


_scenes: dict[tuple[str, ...], Scene] = {}
"""By their names, in the order in which they were played."""


def played_once(make: Callable[P, T]) -> Callable[P, T]:
    """For a fixture that does all it does by requests to the stack of the person whom it takes."""
    name = f"{make.__module__}.{make.__qualname__}"

    @functools.wraps(make)
    def play(*fixtures: P.args, **named: P.kwargs) -> T:
        taken = (*fixtures, *named.values())
        platform = next(each.platform for each in taken if isinstance(each, Person))
        return scene(name, platform, lambda: make(*fixtures, **named))

    return play


def scene(name: str, platform: Platform, make: Callable[[], T]) -> T:
    """What `make` returns, with all that comes of it in the table and on the wire."""
    if platform.moment != platform.left_off:
        return make()
    platform.scenes = (*platform.scenes, name)
    known = _scenes.get(platform.scenes)
    if known:
        made: T = known.put_back(platform)
    else:
        before = _items(platform)
        made = make()
        _scenes[platform.scenes] = _kept(platform, made, before)
    platform.left_off = platform.moment
    return made


def _kept(platform: Platform, made: object, before: dict[str, Item]) -> Scene:
    assert not any(operation == "PutObject" for operation, _ in platform.wire.seen), "objects are not put back"
    after = _items(platform)
    return Scene(
        platform,
        copy.deepcopy(made, {id(platform): platform}),
        [item for key, item in after.items() if before.get(key) != item],
        [item for key, item in before.items() if key not in after],
        copy.deepcopy(vars(platform.wire)),
        platform.clock.begun_ms,
        platform.clock.now_ms,
    )


def _items(platform: Platform) -> dict[str, Item]:
    seen = len(platform.wire.seen)
    pages = clients.dynamodb().get_paginator("scan").paginate(TableName=TABLE)
    items: dict[str, Item] = {str(_key(item)): item for page in pages for item in page["Items"]}
    del platform.wire.seen[seen:]  # no test did that
    return items


def _key(item: Item) -> Item:
    return {name: item[name] for name in ("pk", "sk")}
