"""Money through the operations and steps that move it, in any order and in the middle of each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import astuple, dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filepath import clock
from filepath.aws import accounts, keys, table
from filepath.protocol import End
from tests.aws.people import Person, Platform, Sandbox
from tests.aws.wire import Wire

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Submit:
    minutes: int
    keyed: bool


@dataclass(frozen=True)
class Finish:
    which: int
    run_ms: int


@dataclass(frozen=True)
class Cancel:
    which: int


@dataclass(frozen=True)
class Grant:
    credits: int


Act = Submit | Finish | Cancel | Grant


@dataclass(frozen=True)
class Step:
    """An act; another that slips in before its first transaction; and how that transaction fares."""

    act: Act
    between: Act | None
    conflicts: int
    lost_replies: int


ACTS = st.one_of(
    st.builds(Submit, st.integers(1, 12), st.booleans()),
    st.builds(Finish, st.integers(0, 5), st.integers(0, 800_000)),
    st.builds(Cancel, st.integers(0, 5)),
    st.builds(Grant, st.integers(1, 9)),
)
STEPS = st.builds(Step, ACTS, st.none() | ACTS, st.integers(0, 2), st.integers(0, 1))


@dataclass
class Account:
    """Somebody with twenty credits, whose acts are done here."""

    person: Person
    sandbox: Sandbox
    accepted: list[str] = field(default_factory=list)

    def do(self, act: Act) -> None:
        match act:
            case Submit(minutes, keyed):
                self._submit(minutes, f"key-{next(_numbers)}" if keyed else None)
            case Finish(which, run_ms):
                self._at(which, lambda workflow_id: self._finish(workflow_id, run_ms))
            case Cancel(which):
                self._at(which, self._cancel)
            case Grant(credits):
                accounts.grant(self.person.user_id, credits, clock.now_ms(), f"grant-{next(_numbers)}")

    def _at(self, which: int, act: Callable[[str], None]) -> None:
        if which < len(self.accepted):
            act(self.accepted[which])

    def _submit(self, minutes: int, key: str | None) -> None:
        body = {"sessionId": self.sandbox.session_id, "task": "true", "timeoutSeconds": minutes * 60}
        answer = self.person.post("/api/orchestrator", body, idempotency_key=key)
        if answer.status == 402:
            assert answer.body["error"]["details"]["available"] < minutes
            return
        assert answer.status == 202, answer.text
        self.accepted.append(answer.body["workflowId"])
        if key:
            assert self.person.post("/api/orchestrator", body, idempotency_key=key).body == answer.body

    def _finish(self, workflow_id: str, run_ms: int) -> None:
        self.sandbox.run(workflow_id)
        self.sandbox.exit(workflow_id, end=End("exited", run_ms, exit_code=0))
        self.sandbox.platform.step("settle", workflowId=workflow_id)

    def _cancel(self, workflow_id: str) -> None:
        self.person.post(f"/api/workflow/{workflow_id}/cancel")
        self.sandbox.platform.step("settle", workflowId=workflow_id)

    def check(self) -> None:
        """Every credit is where the tasks and the ledger say it is."""
        money = self.person.money
        assert min(astuple(money)) >= 0
        assert money.granted == money.charged + money.held + money.available
        tasks = [self.sandbox.platform.task(workflow_id) for workflow_id in self.accepted]
        assert money.held == sum(task.held for task in tasks if not task.is_over)
        assert money.charged == sum(task.charged or 0 for task in tasks)
        partition = keys.user_partition(self.person.user_id)
        ledger = list(table.query_all(partition, prefix="LEDGER#"))
        assert sum(line["credits"] for line in ledger) == money.balance
        assert sum(line["credits"] for line in ledger if line["kind"] == "grant") == money.granted


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=8))
def test_every_credit_is_accounted_for_after_any_acts_in_the_middle_of_each_other(
    platform: Platform, wire: Wire, configure: Callable[..., None], steps: list[Step]
) -> None:
    configure(SANDBOXES_PER_STACK="1000")
    person = platform.person(f"ada-{next(_numbers)}@example.org", credits_granted=20)
    account = Account(person, person.ready())
    for step in steps:
        if step.between is not None:
            between = step.between
            wire.before("TransactWriteItems", lambda between=between: account.do(between))  # type: ignore[misc]
        conflict = [{"Code": "None"}, {"Code": "TransactionConflict"}]
        wire.refuse(
            "TransactWriteItems", "TransactionCanceledException", times=step.conflicts, CancellationReasons=conflict
        )
        wire.lose("TransactWriteItems", step.lost_replies)
        account.do(step.act)
        wire.let_through()
        account.check()


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_hold_whose_reply_was_lost_is_held_once(ada: Person, wire: Wire, lost: int) -> None:
    sandbox = ada.ready()
    wire.lose("TransactWriteItems", lost)
    ada.submit(sandbox.session_id, timeoutSeconds=300)
    assert (ada.money.held, ada.money.available) == (5, 95)


def test_a_hold_whose_reply_never_came_is_found_again_by_its_key(ada: Person, wire: Wire) -> None:
    """The function died behind its transaction, or AWS answered none of its tries."""
    sandbox = ada.ready()
    body = {"sessionId": sandbox.session_id, "task": "true", "timeoutSeconds": 300}
    wire.lose("TransactWriteItems", 4)
    assert ada.post("/api/orchestrator", body, idempotency_key="one").status == 503
    answer = ada.post("/api/orchestrator", body, idempotency_key="one")
    assert answer.status == 202
    assert ada.money.held == 5
    assert answer.body["workflowId"] in wire.executions.popitem()[0]


def test_a_conflict_after_a_lost_reply_is_no_refusal(ada: Person, wire: Wire) -> None:
    """The try after it is the same transaction, and finds itself done."""
    sandbox = ada.ready()
    wire.lose("TransactWriteItems")
    conflict = [{"Code": "TransactionConflict"}]
    wire.refuse("TransactWriteItems", "TransactionCanceledException", CancellationReasons=conflict)
    ada.submit(sandbox.session_id, timeoutSeconds=300)
    assert ada.money.held == 5
