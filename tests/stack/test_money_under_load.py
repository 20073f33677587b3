"""A hundred tasks at once from one account that cannot pay for all, while one call to AWS of five fails."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

import httpx
import pytest

from tests.stack.bank import Bank, Watch
from tests.stack.caller import Caller
from tests.stack.conftest import Account, RunningStack, eventually, once

TASKS = 100
SESSIONS = 7
"""Sixteen tasks may be open in each."""
CALLERS = 4
"""Requests at once. All tasks are side by side, whoever submitted them; each request at once is a process here."""
HOLD = 23
GRANTED = 1000
AT_ONCE = GRANTED // HOLD
"""So many can be held for while none is over."""
ONE_OF_FIVE = {
    "dynamodb:TransactWriteItems": {"refuse": 0.12, "lose": 0.05, "kill": 0.03},
    "dynamodb:*": {"refuse": 0.16, "lose": 0.04},
    "states:*": {"refuse": 0.15, "lose": 0.05},
}
SEED = 11


def submit(caller: Caller, number: int, session_id: str) -> httpx.Response:
    """202 or 402."""
    command = f"until [ -e go ]; do sleep 1; done; echo task {number}; exit {number % 3}"
    body = {"sessionId": session_id, "task": command, "timeoutSeconds": HOLD * 60, "metadata": {"n": str(number)}}
    return caller.persistently("POST", "/api/orchestrator", json=body, key=f"task-{number}")


def submit_once_there_is_money(caller: Caller, number: int, session_id: str) -> str:
    answer = eventually(lambda: submit(caller, number, session_id), lambda answer: answer.status_code != 402, 150)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["workflowId"])


@pytest.fixture
def account(stack: RunningStack) -> Account:
    return stack.account("load")


@pytest.fixture
def bank(stack: RunningStack, account: Account) -> Bank:
    return Bank.of(stack, account.key)


@pytest.fixture
def sessions(stack: RunningStack, account: Account) -> Iterator[list[str]]:
    with stack.client(account.key) as fp:
        opened = []
        for number in range(SESSIONS):  # one by one: to start them all at once is no part of this
            opened.append(fp.sessions.create(name=f"load-{number}"))
            eventually(opened[-1].refresh, lambda info: info.status == "ready", 60)
        yield [session.id for session in opened]
        for session in opened:
            session.close()


@contextmanager
def failing(stack: RunningStack) -> Iterator[None]:
    """One call of five, and says so."""
    stack.call_faults(seed=SEED, calls=ONE_OF_FIVE)
    try:
        yield
    finally:
        counts = stack.call_faults()
    share = sum(counts["befallen"].values()) / sum(counts["calls"].values())
    print(f"{share:.1%} of {sum(counts['calls'].values())} calls failed: {counts['befallen']}")
    assert 0.15 < share < 0.25


@pytest.mark.timeout(500)
@once
def test_the_money_adds_up_at_every_moment_none_is_refused_wrongly_and_none_stuck(
    stack: RunningStack, account: Account, bank: Bank, sessions: list[str]
) -> None:
    places = [sessions[number % SESSIONS] for number in range(TASKS)]
    with ExitStack() as during:
        caller = during.enter_context(Caller(stack, account.key))
        during.enter_context(failing(stack))
        in_the_table = during.enter_context(Watch(bank.money))
        over_rest = during.enter_context(Watch(caller.credits))
        threads = during.enter_context(ThreadPoolExecutor(CALLERS))
        answers = list(threads.map(partial(submit, caller), range(TASKS), places))

        # None is over, so what is available has only fallen: who was refused was refused rightly.
        refused = [number for number, answer in enumerate(answers) if answer.status_code == 402]
        assert {answer.status_code for answer in answers} == {202, 402}, [answer.text for answer in answers]
        assert len(refused) == TASKS - AT_ONCE
        assert all(answers[number].json()["error"]["details"]["available"] < HOLD for number in refused)
        assert bank.money() == {"granted": GRANTED, "charged": 0, "held": AT_ONCE * HOLD, "available": GRANTED % HOLD}

        for session_id in sessions:
            body = {"sessionId": session_id, "task": "touch go", "timeoutSeconds": 60}
            assert caller.persistently("POST", "/api/orchestrator", json=body, key=session_id).status_code == 202
        in_time = partial(submit_once_there_is_money, caller)
        late = list(threads.map(in_time, refused, [places[each] for each in refused]))
        eventually(lambda: bank.money()["held"], lambda held: held == 0, 240)

    assert (in_the_table.wrong, over_rest.wrong) == ([], [])
    assert bank.money()["granted"] == GRANTED
    assert in_the_table.readings > 50
    assert over_rest.readings > 10
    ids = {number: answer.json()["workflowId"] for number, answer in enumerate(answers) if number not in refused}
    ids |= dict(zip(refused, late, strict=True))
    _are_true(stack, account, ids)
    _is_charged_once(bank, sessions)


def _are_true(stack: RunningStack, account: Account, ids: dict[int, str]) -> None:
    assert len(set(ids.values())) == TASKS
    with stack.client(account.key) as fp:
        for number, workflow_id in ids.items():
            result = fp.tasks.attach(workflow_id).wait(30)
            assert (result.status, result.exit_code, result.stdout) == ("completed", number % 3, f"task {number}\n")


def _is_charged_once(bank: Bank, sessions: list[str]) -> None:
    """Each task there is has one line in the ledger, of what it is said to have cost."""
    tasks, ledger = bank.tasks(sessions), bank.ledger()
    charged = {task["workflowId"]: task["charged"] for task in tasks}
    assert len(charged) == TASKS + SESSIONS
    lines = [(line["reference"], -line["credits"]) for line in ledger if line["kind"] == "charge"]
    assert sorted(lines) == sorted(charged.items())
    money = bank.money()
    assert (money["charged"], money["held"]) == (sum(charged.values()), 0)
    assert sum(line["credits"] for line in ledger) == money["available"]
