"""Cold starts.

AWS starts each worker of a function on a machine of its own, however many start at once.

MiniStack starts them all on this one. Dozens at once share its processors until the functions' timeouts kill them all,
and their callers' next tries start as many again. Here as many start at once as there are processors, others after
them; one that runs waits for nobody.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

LONGEST_SECONDS = 5.0
"""A start is over with the worker's first call; one that takes longer waits for something, and others may start."""


def apply() -> None:
    from ministack.core import lambda_runtime

    lambda_runtime.Worker.invoke = in_turn(lambda_runtime.Worker.invoke, os.cpu_count() or 1)


def in_turn(invoke: Callable[..., Any], at_once: int) -> Callable[..., Any]:
    """`invoke`, whose first call on a worker, in which it starts, is one of `at_once`."""
    turns = threading.Semaphore(at_once)

    def invoke_in_turn(worker: Any, *arguments: Any, **named: Any) -> Any:
        if _is_running(worker):
            return invoke(worker, *arguments, **named)
        turns.acquire()
        over = threading.Event()
        threading.Thread(target=_give_back, args=(turns, over), daemon=True).start()
        try:
            return invoke(worker, *arguments, **named)
        finally:
            over.set()

    return invoke_in_turn


def _give_back(turns: threading.Semaphore, over: threading.Event) -> None:
    over.wait(LONGEST_SECONDS)
    turns.release()


def _is_running(worker: Any) -> bool:
    return worker._proc is not None and worker._proc.poll() is None
