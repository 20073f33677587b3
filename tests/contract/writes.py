"""What a request wrote, as seen at the wire: in the table, in the bucket, and by whatever it set going."""

from __future__ import annotations

from typing import Any

from tests.aws.wire import Wire

READS = {"GetItem", "BatchGetItem", "Query", "GetObject"}


def written(wire: Wire) -> list[str]:
    """Successful calls that change something. A count of tries is what a refused request may leave, and no more."""
    changes = [operation for operation, asked in wire.seen if operation not in READS and not _counts_tries(asked)]
    return changes + [call.operation for call in wire.calls]


def _counts_tries(asked: dict[str, Any]) -> bool:
    return str(asked.get("Key", {}).get("pk", {}).get("S", "")).startswith("RATE#")
