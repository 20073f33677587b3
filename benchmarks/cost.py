"""What a task costs on AWS: `python -m benchmarks.cost [TASKS [SECONDS]]`, on a stack of its own.

Runs short tasks, one that prints steadily, and a session from its start to its end, counts at the wire what they ask of
AWS, and writes `docs/cost.md` and its chart. Exits with 1 where one of the limits in `cost_report` does not hold.
"""

from __future__ import annotations

import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import ClientError

from benchmarks import cost_report, hops
from benchmarks.cost_report import Measured
from benchmarks.metering import Usage
from filepath_sdk import Filepath, OutputEvent, Session
from local import calls
from local.home import CHECKOUT, Home
from local.stack import Stack

SHORT = ("true", "echo hello")
LINES_A_SECOND = 10
BURST_SECONDS = 20
"""After which the agent's pacing has used up what it lets pass at once."""
QUIET_SECONDS = 1.5
APART = ("ReconcileFunction", "OperatorFunction")
"""These run whether or not a task does."""


def main(count: int, seconds: int) -> int:
    with own_stack() as home, Filepath(url=home.front_url, socket_url=home.socket_url) as fp:
        fp.sign_up(f"cost-{time.time_ns()}@example.org", "correct horse battery", "cost")
        measured = measure(Recorder(home), fp, count, seconds)
    text, chart, held = cost_report.written(measured)
    (CHECKOUT / "docs" / "cost.md").write_text(text)
    (CHECKOUT / "docs" / "cost.svg").write_text(chart)
    print(text)
    return 0 if held else 1


def measure(recorder: Recorder, fp: Filepath, count: int, seconds: int) -> Measured:
    with fp.sessions.create(name="cost") as sandbox:
        for _ in range(5):
            sandbox.run("echo warm")
        short = {command: run(recorder, sandbox, command, count) for command in SHORT}
        steady = printed(recorder, sandbox, seconds)
        of_hops = hops.medians(recorder.home, sandbox, count)
        first_byte = time_to_first_byte(sandbox, count)
    return Measured(count, short, steady, seconds, lived(recorder, fp), of_hops, first_byte)


# What is run


def run(recorder: Recorder, sandbox: Session, command: str, count: int) -> Usage:
    """Short tasks, one after the other, each listened to over the socket, as the SDK does."""
    begun = recorder.quiet()
    done = [sandbox.run(command).workflow_id for _ in range(count)]
    recorder.quiet()
    return recorder.since(begun, sum(recorder.transitions("TaskMachine", each) for each in done))


def printed(recorder: Recorder, sandbox: Session, seconds: int) -> Usage:
    """A steady print, measured once its burst is over and before its end."""
    lines = LINES_A_SECOND * (BURST_SECONDS + seconds + 10)
    task = sandbox.start(f"for i in $(seq {lines}); do echo line $i; sleep {1 / LINES_A_SECOND}; done", timeout=3600)
    opened = time.monotonic() + BURST_SECONDS
    begun, usage = 0, None
    for _event in task.events():
        if not begun and time.monotonic() >= opened:
            begun = recorder.position()
        elif begun and usage is None and time.monotonic() >= opened + seconds:
            usage = recorder.since(begun)
    if usage is None:
        raise RuntimeError("The task ended before it was measured. Is the machine too busy?")
    return usage


def lived(recorder: Recorder, fp: Filepath) -> Usage:
    """A session with no task in it, from its creation until it is closed."""
    begun = recorder.quiet()
    sandbox = fp.sessions.create(name="empty")
    machine = "wf_" + sandbox.id.removeprefix("ses_")
    recorder.until(machine, "TaskSucceeded")  # the agent's hello
    sandbox.close()
    recorder.until(machine, "ExecutionSucceeded")
    recorder.quiet()
    return recorder.since(begun, recorder.transitions("SessionMachine", machine))


def time_to_first_byte(sandbox: Session, count: int) -> float:
    """Median milliseconds from submitting `echo hello` to having its output."""
    times = []
    for _ in range(count):
        begun = time.time()
        events = sandbox.start("echo hello").events()
        next(event for event in events if isinstance(event, OutputEvent))
        times.append((time.time() - begun) * 1000)
        for _rest in events:
            pass
    return statistics.median(times)


class Recorder:
    """The stack's record of calls, in parts."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def position(self) -> int:
        return self.home.calls.stat().st_size

    def quiet(self) -> int:
        """The position once nothing more is written: the platform goes on for a moment after a client was told."""
        position = -1
        while position != (position := self.position()):
            time.sleep(QUIET_SECONDS)
        return position

    def since(self, begun: int, transitions: int = 0) -> Usage:
        made, run_ = calls.read(self.home.calls, begun)
        return Usage(
            [call for call in made if not any(name in call.function for name in APART)],
            [each for each in run_ if not any(name in each.function for name in APART)],
            transitions,
        )

    def transitions(self, machine: str, workflow_id: str) -> int:
        """The start, and each state entered."""
        entered = [event["type"] for event in hops.history(self.home, machine, workflow_id)]
        return 1 + len([name for name in entered if name.endswith("StateEntered")])

    def until(self, workflow_id: str, event: str) -> None:
        while event not in self._events(workflow_id):
            time.sleep(0.2)

    def _events(self, workflow_id: str) -> set[str]:
        try:
            return {each["type"] for each in hops.history(self.home, "SessionMachine", workflow_id)}
        except ClientError:
            return set()  # not started yet


@contextmanager
def own_stack() -> Iterator[Home]:
    """So that nothing else is counted."""
    with tempfile.TemporaryDirectory(prefix="filepath-cost-") as directory:
        front, sandbox, emulator = free_ports(3)
        stack = Stack(Home(Path(directory), front, sandbox, emulator))
        try:
            stack.up()
            yield stack.home
            stack.down()
        finally:
            stack.reset()


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30, int(sys.argv[2]) if len(sys.argv) > 2 else 60))
