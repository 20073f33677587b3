"""Where the time of one short task goes: `python -m benchmarks.hops [COUNT]`, against the stack that `make up` started.

A warm session runs `true` and `echo` COUNT times, one after the other. All clocks are this machine's, so the moments
that the caller notes and those in the record of calls (`local/calls.py`) compare. Each hop's median is printed, and
the median of all together, which is not their sum.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from filepath_sdk import Filepath, OutputEvent, Session, Unreachable
from local import calls
from local.calls import Call, Invocation
from local.deployment import client_options, session
from local.home import Home

_SUBMITTED = "submitted"
_WARM_UP = 5
_LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Moment:
    """When what `hop` names was over, in seconds since the epoch."""

    hop: str
    at: float


@dataclass(frozen=True)
class Hop:
    name: str
    milliseconds: float


def main(count: int) -> None:
    home = Home.from_environment()
    with Filepath(url=home.front_url, socket_url=home.socket_url) as fp:
        fp.sign_up(f"hops-{time.time_ns()}@example.org", "correct horse battery", "hops")
        with fp.sessions.create() as sandbox:
            for _ in range(_WARM_UP):
                sandbox.run("echo x")
            for title, hops in (
                ("`true`: submit → completed", medians(home, sandbox, count)),
                ("`echo x`: submit → first byte", first_bytes(home, sandbox, count)),
            ):
                print(f"{title}, warm, medians of {count}:\n")
                for hop in hops:
                    print(f"  {hop.milliseconds:7.1f} ms  {hop.name}")
                print()


def medians(home: Home, sandbox: Session, count: int) -> list[Hop]:
    """From submitting `true` until its end is told, of COUNT runs; last all together."""
    return _medians([_until_completed(home, sandbox) for _ in range(count)])


def first_bytes(home: Home, sandbox: Session, count: int) -> list[Hop]:
    """From submitting `echo x` until the `x` is there."""
    return _medians([_until_first_byte(home, sandbox) for _ in range(count)])


def _medians(runs: Iterable[Sequence[Moment]]) -> list[Hop]:
    taken = [[_since(before, after) for before, after in pairwise(run)] for run in runs]
    of_each = [
        Hop(hops[0].name, statistics.median(hop.milliseconds for hop in hops)) for hops in zip(*taken, strict=True)
    ]
    return [*of_each, Hop("in all", statistics.median(sum(hop.milliseconds for hop in hops) for hops in taken))]


def _since(before: Moment, after: Moment) -> Hop:
    return Hop(after.hop, (after.at - before.at) * 1000)


def _until_completed(home: Home, sandbox: Session) -> list[Moment]:
    start, submitted = home.calls.stat().st_size, time.time()
    sandbox.start("true").wait()
    told = time.time()
    record = _Record.of_task(home, start)
    return [
        *_until_run(record, submitted),
        Moment("command posted → agent, which runs it and reports its exit", record.run("AgentsFunction").at),
        Moment("agents function: exit kept, machine woken", record.call("AgentsFunction", "SendTaskSuccess").at),
        Moment("Step Functions: → Settle invoked", record.run("WorkflowFunction", "settle").at),
        Moment("Settle: decided, charged, written", record.post("WorkflowFunction", 1).at),
        Moment("end posted → SDK has it", told),
    ]


def _until_first_byte(home: Home, sandbox: Session) -> list[Moment]:
    start, submitted = home.calls.stat().st_size, time.time()
    task = sandbox.start("echo x; sleep 0.1")
    first = 0.0
    for event in task.events():
        if isinstance(event, OutputEvent) and not first:
            first = time.time()
    record = _Record.of_task(home, start)
    return [
        *_until_run(record, submitted),
        Moment("command posted → agent, which runs it and sends its output", record.run("AgentsFunction").at),
        Moment("agents function: output stored", record.post("AgentsFunction").at),
        Moment("output posted → SDK has it", first),
    ]


def _until_run(record: _Record, submitted: float) -> list[Moment]:
    return [
        Moment(_SUBMITTED, submitted),
        Moment("SDK → REST API → function invoked", record.run("ApiFunction", "POST").at),
        Moment("api function: authenticated, admitted, held", record.call("ApiFunction", "StartExecution").at),
        Moment("Step Functions: → Run command invoked", record.run("WorkflowFunction", "run_command").at),
        Moment("Run command: token kept, command read", record.post("WorkflowFunction").at),
    ]


class _Record:
    """What was recorded of one task."""

    def __init__(self, made: Sequence[Call], invocations: Sequence[Invocation]) -> None:
        self._made = sorted(made, key=lambda call: call.at)
        self._invocations = sorted(invocations, key=lambda run: run.at)

    @classmethod
    def of_task(cls, home: Home, start: int) -> _Record:
        """What was recorded from this byte on until the task was settled: a run is noted when it is over, which is
        after its caller's client has been told."""
        while True:
            record = cls(*calls.read(home.calls, start))
            if any(run.route == "settle" for run in record._invocations):
                return record
            time.sleep(_LOOK_SECONDS)

    def run(self, function: str, route: str | None = None) -> Invocation:
        """The first run of the function."""
        return next(run for run in self._invocations if function in run.function and route in (None, run.route))

    def call(self, function: str, operation: str) -> Call:
        return next(call for call in self._made if function in call.function and call.operation == operation)

    def post(self, function: str, number: int = 0) -> Call:
        """One of the function's posts to sockets."""
        posts = [call for call in self._made if function in call.function and call.service == "apigateway"]
        return posts[number]


def history(home: Home, machine: str, workflow_id: str) -> list[Any]:
    """What Step Functions tells of the execution of a session or a task."""
    stepfunctions = session(home).client("stepfunctions", **client_options(home))
    arn = next(
        each["stateMachineArn"]
        for each in stepfunctions.list_state_machines()["stateMachines"]
        if machine in each["name"]
    )
    execution = arn.replace(":stateMachine:", ":execution:") + f":{workflow_id}"
    return list(stepfunctions.get_execution_history(executionArn=execution, maxResults=1000)["events"])


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
    except Unreachable as error:
        sys.exit(f"{error}. `make up` starts the stack.")
