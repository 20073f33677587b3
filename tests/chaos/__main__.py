"""`python -m tests.chaos SEED TASKS MEGABYTES`, on a stack of its own. Exits with 1 where anything was untrue."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import plan
from tests.chaos.run import Outcome, carried_out
from tests.stack.conftest import KINDS, started

SESSIONS = 6
AT_ONCE = 16
OUTPUT_LIMIT_BYTES = 2 * plan.LARGEST


def main(seed: int, tasks: int, megabytes: float) -> int:
    os.environ.pop("PYTHONPATH", None)  # it was for this process; a stack's functions have a layer
    planned = plan.made(seed, tasks, megabytes, SESSIONS, AT_ONCE)
    kind = KINDS[-1]
    say(f"seed {seed}: {tasks} tasks, {planned.size / 1e6:.0f} MB, sandboxes are {kind}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="filepath-chaos-", ignore_cleanup_errors=True) as directory:
        stack = started(Path(directory), kind, OutputLimitBytes=str(OUTPUT_LIMIT_BYTES), SandboxesPerAccount="20")
        try:
            outcome = carried_out(stack, planned, say)
        finally:
            stack.forget()
    say(told(outcome, tasks, time.monotonic() - begun))
    for each in outcome.untrue:
        say(f"✗ {each}")
    again = f"make chaos SEED={seed} TASKS={tasks} MB={megabytes:g}"
    say(f"{len(outcome.untrue)} untruths; again: {again}" if outcome.untrue else "every result was the truth")
    return 1 if outcome.untrue else 0


def told(outcome: Outcome, tasks: int, seconds: float) -> str:
    befallen = sum(outcome.befallen.values())
    return (
        f"{len(outcome.told)} of {tasks} tasks over after {seconds:.0f} s with {outcome.size / 1e6:.0f} MB of output; "
        f"{befallen} calls failed, {outcome.cuts} sockets were cut, the money was read {outcome.readings} times"
    )


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    chosen = sys.argv[1] or str(secrets.randbelow(10**6))
    sys.exit(main(int(chosen), int(sys.argv[2]), float(sys.argv[3])))
