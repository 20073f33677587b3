"""How many workers start at once: local/mends/cold_starts.py."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

from tests.local.emulators import Emulator

# Says when its process started to load, and when it had done so.
SLOW_TO_LOAD = """
import time
begun = time.time()
time.sleep(0.5)
loaded = time.time()
def handler(event, context):
    time.sleep(event)
    return [begun, loaded]
"""
CALLS = 2 * (os.cpu_count() or 1) + 2


def most_at_once(emulator: Emulator, seconds: float = 0.5) -> int:
    """How many of the workers of as many calls were loading at one moment."""
    function = emulator.function(SLOW_TO_LOAD)

    def call(_: int) -> list[float]:
        answer = emulator.client("lambda").invoke(FunctionName=function, Payload=json.dumps(seconds).encode())
        loading: list[float] = json.load(answer["Payload"])
        return loading

    with ThreadPoolExecutor(CALLS) as callers:
        spans = list(callers.map(call, range(CALLS)))
    return max(sum(begun <= moment < loaded for begun, loaded in spans) for moment, _ in spans)


def test_as_many_workers_start_at_once_as_there_are_processors(mended: Emulator) -> None:
    assert most_at_once(mended) <= (os.cpu_count() or 1)


def test_the_emulator_alone_still_starts_all_at_once(plain: Emulator) -> None:
    assert most_at_once(plain) > (os.cpu_count() or 1), "mends/cold_starts.py is no longer needed"
