"""The main job, done once as any caller would, with a clock on it.

The command writes the time into each line it prints; the delay shown is from there to the line's arrival here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from filepath_sdk.client import Filepath
from filepath_sdk.errors import FilepathError
from filepath_sdk.models import Credits, Result

LINES = 20
COMMAND = f'for i in $(seq {LINES}); do echo "$(date +%s%N) line $i"; sleep 0.5; done'


class DemoFailed(FilepathError):
    """The task did not do what it was to do."""

    code = "demo_failed"
    what_to_do = "Look at the deployment's logs, or try again."


@dataclass
class Lines:
    """Shows each line as it comes, and notes how long it took."""

    say: Callable[[str], None]
    delays: list[float] = field(default_factory=list)
    _rest: str = ""

    def __call__(self, text: str) -> None:
        now = time.time()
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            written, _, words = line.partition(" ")
            self.delays.append(now - int(written) / 1e9)
            self.say(f"    {words:<10}{self.delays[-1] * 1000:6.0f} ms")


@dataclass(frozen=True)
class Demo:
    """What was seen. Delays are in seconds, by the clocks of here and there."""

    session_id: str
    result: Result
    credits: Credits
    delays: tuple[float, ...]
    took: float

    @property
    def median(self) -> float:
        return statistics.median(self.delays)

    @property
    def nineteenth(self) -> float:
        return sorted(self.delays)[LINES - 2]

    def summary(self) -> str:
        median, nineteenth = self.median * 1000, self.nineteenth * 1000
        return (
            f"Delays: median {median:.0f} ms, {LINES - 1} of {LINES} within {nineteenth:.0f} ms.\n"
            f"Exit code {self.result.exit_code}, credits charged: {self.result.credits_charged}, balance "
            f"{self.credits.balance} (held {self.credits.held}), {self.took:.1f} s with the sandbox's start."
        )


def run(fp: Filepath, say: Callable[[str], None], *, keep: bool = False) -> Demo:
    """The session is closed at the end, unless it is to be kept. Raises DemoFailed."""
    say(f"Opening a session and running, in its sandbox:\n    {COMMAND}")
    lines = Lines(say)
    begun = time.monotonic()
    session = fp.sessions.create(name="demo")
    try:
        result = session.run(COMMAND, timeout=60, on_stdout=lines)
        took = time.monotonic() - begun
    finally:
        if not keep:
            session.close()
    _see_that_it_went_well(result, lines)
    return Demo(session.id, result, fp.credits(), tuple(lines.delays), took)


def _see_that_it_went_well(result: Result, lines: Lines) -> None:
    if not result.ok:
        raise DemoFailed(f"the task {result.workflow_id} {result.outcome}")
    if len(lines.delays) != LINES:
        raise DemoFailed(f"{len(lines.delays)} lines came, of {LINES}")
