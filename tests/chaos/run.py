"""A plan carried out on a stack, and what of it was not the truth."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from filepath_sdk import Session
from tests.chaos.plan import Plan, PlannedTask
from tests.chaos.program import LONGEST_WRITE
from tests.stack.bank import Bank, Watch
from tests.stack.caller import Caller
from tests.stack.conftest import RunningStack, eventually

PATIENCE_SECONDS = 1200
LOOK_SECONDS = 1
"""Between two questions for the status of one task: who asks more often tests nothing more."""
PAGE_BYTES = 1024 * 1024
STREAMS = ("stdout", "stderr")

Report = Callable[[str], object]
Log = dict[str, bytes]


@dataclass(frozen=True)
class Told:
    """What the platform says of one task."""

    workflow_id: str
    status: Mapping[str, Any]
    log: Log
    """By output?after=, stream by stream."""
    followed: Log | None
    """The same as it was received live."""


@dataclass(frozen=True)
class Noted:
    """What the command says of itself."""

    written: Mapping[str, tuple[int, str]]
    """Length and sha256 of each stream."""
    is_at_end: bool

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Noted:
        return cls({name: tuple(content[key]) for key, name in zip("12", STREAMS, strict=True)}, content["isAtEnd"])


@dataclass
class Outcome:
    told: dict[int, Told] = field(default_factory=dict)
    noted: dict[int, Noted] = field(default_factory=dict)
    untrue: list[str] = field(default_factory=list)
    befallen: Mapping[str, int] = field(default_factory=dict)
    cuts: int = 0
    readings: int = 0

    @property
    def size(self) -> int:
        return sum(len(data) for told in self.told.values() for data in told.log.values())


def carried_out(stack: RunningStack, plan: Plan, report: Report = print) -> Outcome:
    account = stack.account("chaos")
    bank = Bank.of(stack, account.key)
    stack.command("grant", bank.email, str(16 * len(plan.tasks)))
    with stack.client(account.key) as fp, ExitStack() as until_the_end:
        sessions = [until_the_end.enter_context(fp.sessions.create(name=f"chaos-{n}")) for n in range(plan.sessions)]
        for session in sessions:
            assert session.run("cat > chaos.py", stdin=_program()).ok
        before = [task["workflowId"] for task in bank.tasks([session.id for session in sessions])]
        outcome = Outcome()
        run = Run(stack, plan, until_the_end.enter_context(Caller(stack, account.key)), sessions, report)
        with watched(bank, run.caller, outcome), failing(stack, plan, outcome):
            outcome.told = run.all_tasks(outcome)
        for session in sessions:
            listed = session.run("mkdir -p sums; find sums -type f -exec cat {} +").stdout_bytes
            notes = (json.loads(line) for line in listed.splitlines())
            outcome.noted |= {each["number"]: Noted.of(each) for each in notes}
        outcome.untrue += _untruths(plan, outcome)
        outcome.untrue += _money_unaccounted(bank, sessions, plan, outcome, before)
    return outcome


def _program() -> str:
    return Path(__file__).with_name("program.py").read_text()


# What goes wrong meanwhile


@contextmanager
def failing(stack: RunningStack, plan: Plan, outcome: Outcome) -> Iterator[None]:
    over = threading.Event()
    mishaps = threading.Thread(target=_befall, args=(stack, plan, outcome, over))
    stack.call_faults(**plan.calls())
    for door in ("agents", "socket"):
        stack.faults(door, **plan.messages())
    mishaps.start()
    try:
        yield
    finally:
        over.set()
        mishaps.join()
        for door in ("agents", "socket"):
            stack.faults(door)
        outcome.befallen = stack.call_faults()["befallen"]


def _befall(stack: RunningStack, plan: Plan, outcome: Outcome, over: threading.Event) -> None:
    for mishap in plan.mishaps():
        if over.wait(mishap.after_seconds):
            return
        refused = {"refuse": 503} if mishap.refused_seconds else {}
        outcome.cuts += stack.faults(mishap.door, cut=True, **plan.messages(), **refused)
        over.wait(mishap.refused_seconds)
        stack.faults(mishap.door, **plan.messages())


@contextmanager
def watched(bank: Bank, caller: Caller, outcome: Outcome) -> Iterator[None]:
    """At every reading, granted = charged + held + available."""
    with Watch(bank.money) as in_the_table, Watch(caller.credits) as over_rest:
        yield
    outcome.readings = in_the_table.readings + over_rest.readings
    outcome.untrue += [f"the money does not add up: {money}" for money in in_the_table.wrong + over_rest.wrong]
    if not in_the_table.readings or not over_rest.readings:
        outcome.untrue.append("the money was never looked at")


# The tasks


def ended(caller: Caller, workflow_id: str) -> dict[str, Any]:
    def status() -> dict[str, Any]:
        return content(caller.persistently("GET", f"/api/workflow/{workflow_id}/status"))

    return eventually(status, lambda status: status["finishedAt"], PATIENCE_SECONDS, every=LOOK_SECONDS)


def log_of(caller: Caller, workflow_id: str) -> Log:
    log, at, is_complete = {name: bytearray() for name in STREAMS}, 0, False
    while not is_complete:
        query = {"after": at, "limit": PAGE_BYTES}
        page = content(caller.persistently("GET", f"/api/workflow/{workflow_id}/output", params=query))
        for chunk in page["chunks"]:
            is_text = chunk["encoding"] == "utf-8"
            data = chunk["data"].encode() if is_text else base64.b64decode(chunk["data"])
            assert chunk["offset"] == at, f"a chunk at {chunk['offset']}, where {at} was next"
            log[chunk["stream"]] += data
            at += len(data)
        assert page["nextOffset"] == at
        assert page["chunks"] or page["complete"], "a page of nothing before the end"
        is_complete = page["complete"]
    return {name: bytes(data) for name, data in log.items()}


def content(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


@dataclass(frozen=True)
class Run:
    stack: RunningStack
    plan: Plan
    caller: Caller
    sessions: list[Session]
    report: Report

    def all_tasks(self, outcome: Outcome) -> dict[int, Told]:
        told: dict[int, Told] = {}
        with ThreadPoolExecutor(self.plan.at_once) as threads:
            running = {threads.submit(self.one_task, task): task for task in self.plan.tasks}
            for future in as_completed(running):
                task = running[future]
                try:
                    told[task.number] = future.result()
                except Exception as error:  # noqa: BLE001 - it is a finding, and the others go on
                    outcome.untrue.append(f"{task}: {error!r}")
                    self.report(f"{task}: {error!r}")
                if len(told) % 50 == 0:
                    self.report(f"{len(told)} of {len(self.plan.tasks)} tasks are over")
        return told

    def one_task(self, task: PlannedTask) -> Told:
        followed = None
        if task.is_followed:
            started = self.sessions[task.place].start(task.command, timeout=task.timeout_seconds)
            self.cancel_in_time(task, started.id)
            result = started.wait(PATIENCE_SECONDS)
            workflow_id, followed = (
                started.id,
                dict(zip(STREAMS, (result.stdout_bytes, result.stderr_bytes), strict=True)),
            )
        else:
            workflow_id = self.submit(task)
            self.cancel_in_time(task, workflow_id)
        status = ended(self.caller, workflow_id)
        return Told(workflow_id, status, log_of(self.caller, workflow_id), followed)

    def submit(self, task: PlannedTask) -> str:
        session_id = self.sessions[task.place].id
        body = {"sessionId": session_id, "task": task.command, "timeoutSeconds": task.timeout_seconds}
        key = f"chaos-{task.number}"
        return str(content(self.caller.persistently("POST", "/api/orchestrator", json=body, key=key))["workflowId"])

    def cancel_in_time(self, task: PlannedTask, workflow_id: str) -> None:
        if task.ending == "cancelled":
            time.sleep(task.cancelled_after)
            content(self.caller.persistently("POST", f"/api/workflow/{workflow_id}/cancel"))


# What was not the truth


def _untruths(plan: Plan, outcome: Outcome) -> Iterator[str]:
    for task in plan.tasks:
        if task.number in outcome.told:
            told = outcome.told[task.number]
            for untruth in untrue(task, told, outcome.noted.get(task.number)):
                yield f"{task} ({told.workflow_id}): {untruth}"


def untrue(task: PlannedTask, told: Told, noted: Noted | None) -> Iterator[str]:
    """Everything in which what was told differs from what was."""
    if told.followed is not None and told.followed != told.log:
        yield f"followed live it was {_lengths(told.followed)}, in the log it is {_lengths(told.log)}"
    if told.status["outputBytes"] != sum(map(len, told.log.values())):
        yield f"outputBytes is {told.status['outputBytes']}, the log's lengths are {_lengths(told.log)}"
    end = tuple(told.status[name] for name in ("status", "exitCode", "signal"))
    if end not in true_ends(task, noted):
        yield f"its end was told as {end}, not as one of {true_ends(task, noted)}"
    yield from _output_untrue(told.log, noted)


def true_ends(task: PlannedTask, noted: Noted | None) -> list[tuple[str, int | None, str | None]]:
    if task.ending == "dies":
        return [("completed", None, task.how)]
    if task.ending in ("exits", "leaves-a-child"):
        return [("completed", int(task.how), None)]
    status = "cancelled" if task.ending == "cancelled" else "timed_out"
    if noted is None:  # ended before it came to note anything, which a cancelled one may be before it began
        return [(status, None, "TERM"), *([(status, None, None)] if status == "cancelled" else [])]
    if noted.is_at_end:
        return [(status, int(task.how), None)]
    return [(status, None, "KILL"), (status, None, "TERM")]


def _output_untrue(log: Log, noted: Noted | None) -> Iterator[str]:
    if noted is None:
        if any(log.values()):
            yield f"it noted no output, the log's lengths are {_lengths(log)}"
        return
    for stream, (length, digest) in noted.written.items():
        data = log[stream]
        # A killed command may have written once more than it came to note.
        longest = length if noted.is_at_end else length + LONGEST_WRITE
        if not length <= len(data) <= longest:
            yield f"{stream} has {len(data)} bytes, it wrote {length}"
        elif hashlib.sha256(data[:length]).hexdigest() != digest:
            yield f"{stream} has other bytes than it wrote"


def _lengths(log: Log) -> dict[str, int]:
    return {stream: len(data) for stream, data in log.items()}


def _money_unaccounted(
    bank: Bank, sessions: list[Session], plan: Plan, outcome: Outcome, before: list[str]
) -> Iterator[str]:
    """Each task has one line in the ledger, of what it is said to have cost; what is charged is their sum."""
    eventually(lambda: bank.money()["held"], lambda held: held == 0, 30)
    tasks, ledger, money = bank.tasks([session.id for session in sessions]), bank.ledger(), bank.money()
    charged = {task["workflowId"]: int(task["charged"]) for task in tasks}
    lines = sorted((line["reference"], int(-line["credits"])) for line in ledger if line["kind"] == "charge")
    # A task that never ran has nothing to charge.
    if [line for line in lines if line[1]] != sorted(each for each in charged.items() if each[1]):
        yield f"the ledger's charges are {lines}, the tasks' {sorted(charged.items())}"
    if sum(line["credits"] for line in ledger) != money["available"]:
        yield f"the ledger's sum is not what is available: {money}"
    planned = len(plan.tasks) + len(before) + len(sessions)  # the last read what was noted
    if len(charged) != planned:
        yield f"there are {len(charged)} tasks, not {planned}: one was started twice, or not at all"
    for told in outcome.told.values():
        started = told.status["startedAt"] is not None
        if bool(told.status["creditsCharged"]) != started or charged[told.workflow_id] != told.status["creditsCharged"]:
            yield f"{told.workflow_id} was charged {told.status['creditsCharged']}: {told.status}"
