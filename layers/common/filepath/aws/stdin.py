"""What is written to a task's standard input while it runs: its pieces, and how long it is.

A piece and the length that it makes are one write, on condition that the length was where the piece begins: of two who
write at once one comes first, and the other behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from filepath.aws import keys, table
from filepath.aws.table import Item, Put, TransactionRefused, Update, Write
from filepath.settings import settings

_READ_BYTES = 64 * 1024
_PIECES_A_PAGE = 64


@dataclass(frozen=True)
class Written:
    length: int = 0
    closed: bool = False


def get(workflow_id: str) -> Written:
    return _written(table.get(keys.stdin(workflow_id)))


def append(workflow_id: str, offset: int, data: bytes, now: int) -> Written | None:
    """None where it does not end at `offset` any more, or was closed."""
    at_offset = "#length = :offset" if offset else "attribute_not_exists(#length)"
    length = offset + len(data)
    kept = {"expiresAt": settings().kept_until(now)}
    writes: list[Write] = [
        Update(
            keys.stdin(workflow_id),
            condition=f"{at_offset} AND attribute_not_exists(#closed)",
            set={"length": length, **kept},
            values={"offset": offset} if offset else {},
        ),
        Put({**keys.stdin_piece(workflow_id, offset), "offset": offset, "data": data, **kept}),
    ]
    try:
        table.transact(writes)
    except TransactionRefused:
        return None
    return Written(length)


def close(workflow_id: str, now: int) -> Written:
    kept = {"expiresAt": settings().kept_until(now)}
    return _written(table.update(Update(keys.stdin(workflow_id), set={"closed": True, **kept})))


def read(workflow_id: str, offset: int) -> bytes | None:
    """The pieces from `offset` on, as many as go into one message. None where no piece begins there."""
    page = table.query(
        keys.workflow_partition(workflow_id),
        start=keys.stdin_sort_key(offset),
        prefix="STDIN#",
        limit=_PIECES_A_PAGE,
    )
    if page.items and page.items[0]["offset"] != offset:
        return None
    data = b""
    for item in page.items:
        if data and len(data) + len(item["data"]) > _READ_BYTES:
            break
        data += item["data"]
    return data


def _written(item: Item | None) -> Written:
    return Written(item.get("length", 0), item.get("closed", False)) if item else Written()
