"""The functions' log, to be followed.

On AWS `sam logs --tail` follows the log groups.

MiniStack keeps them in memory, and asking it again and again would slow the stack down while one watches. Here what
each call logged is written to a file as well, which `python -m local logs` follows.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_writing = threading.Lock()


def apply(path: Path) -> None:
    from ministack.services import lambda_svc

    lambda_svc._emit_lambda_logs = writing_to(path, lambda_svc._emit_lambda_logs)


def writing_to(path: Path, emit: Callable[..., None]) -> Callable[..., None]:
    def write_and_emit(function: dict[str, Any], request_id: str, log: str, *rest: Any, **named: Any) -> None:
        name = (function.get("config") or function).get("FunctionName", "unknown")
        at = time.strftime("%H:%M:%S")
        lines = [f"{at} {name} {line}\n" for line in log.splitlines() if line.strip()]
        if lines:
            with _writing, path.open("a") as file:
                file.writelines(lines)
        emit(function, request_id, log, *rest, **named)

    return write_and_emit
