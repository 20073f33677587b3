"""Where the time of one short task goes: `python -m benchmarks.hops [COUNT]`, against the stack that `make up` started.

All clocks are this machine's, so moments noted by the caller, by Step Functions' history and in the table compare. A
warm session runs `true` COUNT times, one after the other; what is printed is the median of each hop.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass

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
            runs = [_one(home, sandbox) for _ in range(count)]
    print(f"one task `true`, warm, median of {count}:\n")
    for hops in zip(*runs, strict=True):
        print(f"  {statistics.median(hop.milliseconds for hop in hops):7.1f} ms  {hops[0].name}")
    print(f"  {statistics.median(sum(hop.milliseconds for hop in hops) for hops in runs):7.1f} ms  in all")


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
    stepfunctions = session(home).client("stepfunctions", **client_options(home))
    machine = next(
        each["stateMachineArn"]
        for each in stepfunctions.list_state_machines()["stateMachines"]
        if "TaskMachine" in each["name"]
    )
    execution = machine.replace(":stateMachine:", ":execution:") + f":{workflow_id}"
    moments: dict[str, list[float]] = {}
    for event in stepfunctions.get_execution_history(executionArn=execution)["events"]:
        moments.setdefault(event["type"], []).append(event["timestamp"].timestamp())
    return moments


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
    except Unreachable as error:
        sys.exit(f"{error}. `make up` starts the stack.")
