"""Where the time of one short task goes: `python -m benchmarks.hops [COUNT]`, against the stack that `make up` started.

All clocks are this machine's, so moments noted by the caller, by Step Functions' history and in the table compare. A
warm session runs `true` COUNT times, one after the other; what is printed is the median of each hop.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

from filepath_sdk import Filepath, Session, Unreachable
from local.deployment import client_options, session
from local.home import Home


@dataclass(frozen=True)
class Hop:
    name: str
    milliseconds: float


def main(count: int) -> None:
    home = Home.from_environment()
    with Filepath(url=home.front_url, socket_url=home.socket_url) as fp:
        fp.sign_up(f"hops-{time.time_ns()}@example.org", "correct horse battery", "hops")
        with fp.sessions.create() as sandbox:
            for _ in range(3):
                sandbox.run("true")
            hops = medians(home, sandbox, count)
    print(f"one task `true`, warm, median of {count}:\n")
    for hop in hops:
        print(f"  {hop.milliseconds:7.1f} ms  {hop.name}")


def medians(home: Home, sandbox: Session, count: int) -> list[Hop]:
    """Of COUNT runs in a session that is warm: each hop, and last all together."""
    runs = [_one(home, sandbox) for _ in range(count)]
    of_each = [
        Hop(hops[0].name, statistics.median(hop.milliseconds for hop in hops)) for hops in zip(*runs, strict=True)
    ]
    return [*of_each, Hop("in all", statistics.median(sum(hop.milliseconds for hop in hops) for hops in runs))]


def _one(home: Home, sandbox: Session) -> list[Hop]:
    submitted = time.time()
    task = sandbox.start("true")
    accepted = time.time()
    task.wait()
    told = time.time()
    history = _history(home, task.workflow_id)
    moments = [
        ("submit: REST, admission, hold, StartExecution, 202", accepted),
        ("Step Functions: execution started → Run command invoked", history["TaskScheduled"][0]),
        (
            "Run command: token stored, exec posted; agent runs it and reports; machine woken",
            history["TaskSucceeded"][0],
        ),
        ("Step Functions: → Settle invoked", history["TaskScheduled"][1]),
        ("Settle: decided, charged, written, client told", told),
    ]
    hops, before = [], submitted
    for name, moment in moments:
        hops.append(Hop(name, (moment - before) * 1000))
        before = moment
    return hops


def _history(home: Home, workflow_id: str) -> dict[str, list[float]]:
    moments: dict[str, list[float]] = {}
    for event in history(home, "TaskMachine", workflow_id):
        moments.setdefault(event["type"], []).append(event["timestamp"].timestamp())
    return moments


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
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
    except Unreachable as error:
        sys.exit(f"{error}. `make up` starts the stack.")
