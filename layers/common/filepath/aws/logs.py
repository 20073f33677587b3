"""The stored log of each task: its chunks, and `stored`, the length up to which it is complete.

A chunk is put first, then `stored` moves from the chunk's offset to its end, on condition that it stood at the
offset. What lies beyond `stored` was never acknowledged and is never read; the agent sends it again, byte-identical,
but it may be cut elsewhere here, where the limit of a task's output was changed in between: the first put stands.
A sealed log takes nothing any more: its task is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from filepath.aws import keys, objects, table
from filepath.aws.table import ConditionFailed, Item, Put, Update
from filepath.output import INLINE_LIMIT, until
from filepath.protocol import Chunk, Run
from filepath.settings import settings

_CHUNKS_A_PAGE = 64


@dataclass(frozen=True)
class Log:
    stored: int = 0
    sealed: bool = False


def get(workflow_id: str) -> Log:
    return log_of(table.get(keys.log(workflow_id)))


def append(workflow_id: str, chunk: Chunk, now: int) -> Log:
    """The log as it is afterwards: `stored` is where the agent is to go on, whether or not this chunk fitted."""
    end = chunk.end
    try:
        table.put(Put(_chunk_item(workflow_id, chunk, now), new=True))
    except ConditionFailed as refused:  # a resend: the same bytes stand there, or as many of them as were kept then
        end = min(end, chunk.offset + sum(length for _, length in refused.item["runs"]))
    at_offset = "#stored = :offset" if chunk.offset else "attribute_not_exists(#stored)"
    try:
        item = table.update(
            Update(
                keys.log(workflow_id),
                condition=f"{at_offset} AND attribute_not_exists(#sealed)",
                set={"stored": end},
                values={"offset": chunk.offset} if chunk.offset else {},
            )
        )
    except ConditionFailed as refused:
        return log_of(refused.item)
    return log_of(item)


def read(workflow_id: str, after: int, stored: int) -> Iterator[Chunk]:
    """The chunks that hold the bytes from `after` to `stored`, fetched as they are asked for."""
    start = _chunk_before(workflow_id, after)
    while start < stored:
        page = table.query(
            keys.workflow_partition(workflow_id),
            start=keys.chunk_sort_key(start),
            prefix="CHUNK#",
            limit=_CHUNKS_A_PAGE,
        )
        for item in page.items:
            if item["offset"] < stored:
                yield until(_chunk(item), stored)
        if page.last is None:
            return
        start = page.items[-1]["offset"] + 1


def _chunk_before(workflow_id: str, offset: int) -> int:
    """The offset of the chunk that holds byte `offset`."""
    page = table.query(
        keys.workflow_partition(workflow_id),
        prefix="CHUNK#",
        end=keys.chunk_sort_key(offset),
        limit=1,
        backwards=True,
    )
    return int(page.items[0]["offset"]) if page.items else offset


def log_of(item: Item | None) -> Log:
    return Log(item.get("stored", 0), item.get("sealed", False)) if item else Log()


def _chunk_item(workflow_id: str, chunk: Chunk, now: int) -> Item:
    item: Item = {
        **keys.chunk(workflow_id, chunk.offset),
        "offset": chunk.offset,
        "runs": [[run.stream, run.length] for run in chunk.runs],
        "expiresAt": settings().kept_until(now),
    }
    if len(chunk.data) <= INLINE_LIMIT:
        return item | {"data": chunk.data}
    key = f"output/{workflow_id}/{chunk.offset:014d}-{len(chunk.data)}"  # never written over with another length
    objects.write(key, chunk.data)
    return item | {"object": key}


def _chunk(item: Item) -> Chunk:
    runs = tuple(Run(stream, length) for stream, length in item["runs"])
    data = item["data"] if "data" in item else objects.read(item["object"])
    return Chunk(item["offset"], runs, data)
