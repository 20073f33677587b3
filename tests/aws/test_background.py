"""What tasks leave running, in the table: kept and charged in one write, each started minute once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from filepath.aws import credits, keys, sessions, table
from filepath.protocol import INVALID_PARAMS
from filepath.session import Reason
from tests.aws.conftest import Clock
from tests.aws.people import Person, Platform, Sandbox
from tests.aws.wire import Wire

GOES_ON = {"stop": False, "reason": None}
WITHOUT_CREDITS = {"stop": True, "reason": "insufficient_credits"}


def tell(sandbox: Sandbox, number: int, elapsed_ms: int = 0, **more: Any) -> dict[str, Any]:
    told = {"number": number, "processes": 1, "active": True, "elapsedMs": elapsed_ms, "stopped": None, **more}
    return sandbox.socket.call("background", **told)


def shown(person: Person, sandbox: Sandbox) -> dict[str, Any]:
    session = person.get(f"/api/orchestrator/session/{sandbox.session_id}").body
    background: dict[str, Any] = session["background"]
    return background


def ledger(person: Person) -> list[tuple[str, int, str]]:
    lines = table.query_all(keys.user_partition(person.user_id), prefix="LEDGER#")
    return [(line["kind"], line["credits"], line["reference"]) for line in lines if line["kind"] != "grant"]


def test_each_started_minute_is_charged_with_a_line_in_the_ledger(ada: Person, sandbox: Sandbox) -> None:
    for number, elapsed_ms in enumerate((0, 60_000, 120_000), 1):
        assert tell(sandbox, number, elapsed_ms) == GOES_ON
    assert tell(sandbox, 4, 130_000, processes=0, active=False) == GOES_ON
    assert (ada.money.charged, ada.money.available, ada.money.balance) == (3, 97, 97)
    assert ledger(ada) == [("background", -1, "wf_" + sandbox.session_id[4:])] * 3


def test_it_is_shown_while_it_is_counted_and_after(ada: Person, sandbox: Sandbox, clock: Clock) -> None:
    assert shown(ada, sandbox) == {"processes": 0, "since": None, "creditsCharged": 0, "stoppedReason": None}
    tell(sandbox, 1, processes=2)
    since = shown(ada, sandbox)["since"]
    clock.pass_(60)
    tell(sandbox, 2, 60_000, processes=3)
    assert shown(ada, sandbox) == {"processes": 3, "since": since, "creditsCharged": 2, "stoppedReason": None}
    tell(sandbox, 3, 70_000, processes=0, active=False, stopped="background_limit")
    over = {"processes": 0, "since": None, "creditsCharged": 2, "stoppedReason": "background_limit"}
    assert shown(ada, sandbox) == over


def test_clients_hear_of_it(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    socket = ada.listen()
    tell(sandbox, 1)
    (event,) = [message["params"] for message in wire.posted(socket.connection_id)]
    assert (event["type"], event["status"]) == ("session", "ready")
    assert event["background"].keys() == {"processes", "since", "creditsCharged", "stoppedReason"}
    assert (event["background"]["processes"], event["background"]["creditsCharged"]) == (1, 1)


def test_a_report_that_comes_again_or_late_changes_and_charges_nothing(ada: Person, sandbox: Sandbox) -> None:
    tell(sandbox, 1)
    tell(sandbox, 2, 60_000, processes=5)
    for number, elapsed_ms in ((2, 60_000), (1, 0), (2, 600_000)):
        assert tell(sandbox, number, elapsed_ms, processes=9) == GOES_ON
    assert (ada.money.charged, shown(ada, sandbox)["processes"]) == (2, 5)


def test_two_copies_at_once_are_charged_once(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    """One is kept between the other's look at the session and its write; then both stand between each other."""
    wire.before("TransactWriteItems", lambda: tell(sandbox, 1))
    assert tell(sandbox, 1) == GOES_ON
    assert (ada.money.charged, len(ledger(ada))) == (1, 1)
    wire.before("TransactWriteItems", lambda: tell(sandbox, 3, 120_000, processes=3))
    assert tell(sandbox, 2, 60_000, processes=2) == GOES_ON
    assert (ada.money.charged, shown(ada, sandbox)["processes"]) == (3, 3)


def test_a_report_whose_write_was_done_and_whose_answer_was_lost_is_charged_once(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    tell(sandbox, 1)
    assert tell(sandbox, 1) == GOES_ON
    assert ada.money.charged == 1


def test_what_was_not_told_for_long_is_charged_at_once_as_far_as_there_are_credits(
    platform: Platform,
) -> None:
    poor = platform.person("poor@example.org", 4)
    sandbox = poor.ready()
    assert tell(sandbox, 1) == GOES_ON
    assert tell(sandbox, 2, 600_000) == WITHOUT_CREDITS
    assert (poor.money.available, poor.money.charged) == (0, 4)
    assert shown(poor, sandbox)["stoppedReason"] == "insufficient_credits"


def test_what_is_held_for_tasks_is_not_taken(platform: Platform) -> None:
    poor = platform.person("poor@example.org", 5)
    sandbox = poor.ready()
    poor.submit(sandbox.session_id)
    assert tell(sandbox, 1) == WITHOUT_CREDITS
    assert (poor.money.held, poor.money.available, poor.money.charged) == (5, 0, 0)


def test_credits_that_go_between_the_look_and_the_write_are_not_charged(platform: Platform, wire: Wire) -> None:
    poor = platform.person("poor@example.org", 5)
    sandbox = poor.ready()
    wire.before("TransactWriteItems", lambda: str(poor.submit(sandbox.session_id)))
    assert tell(sandbox, 1) == WITHOUT_CREDITS
    assert (poor.money.held, poor.money.available, poor.money.charged) == (5, 0, 0)


def test_a_credit_is_not_charged_below_zero(ada: Person) -> None:
    with pytest.raises(table.TransactionRefused):
        table.transact([credits.charged(ada.user_id, 101)])
    assert (ada.money.available, ada.money.charged) == (100, 0)


@pytest.mark.parametrize(
    "end",
    [
        lambda person, sandbox: person.delete(f"/api/orchestrator/session/{sandbox.session_id}"),
        lambda person, sandbox: sessions.close(sandbox.session_id, Reason.IDLE, 1),
    ],
    ids=["closed", "idle"],
)
def test_a_session_that_ends_is_charged_no_more(
    ada: Person, sandbox: Sandbox, wire: Wire, end: Callable[[Person, Sandbox], object]
) -> None:
    tell(sandbox, 1)
    wire.before("TransactWriteItems", lambda: end(ada, sandbox))
    tell(sandbox, 2, 60_000)
    tell(sandbox, 3, 120_000)
    assert ada.money.charged == 1
    assert shown(ada, sandbox)["since"] is None


def test_once_the_sandbox_is_gone_nothing_is_left_of_it(ada: Person, sandbox: Sandbox) -> None:
    tell(sandbox, 1)
    sandbox.stopped()
    told = {"number": 2, "processes": 1, "active": True, "elapsedMs": 60_000, "stopped": None}
    refused = sandbox.socket.refusal("background", **told)
    assert refused["data"]["error"]["code"] == "session_closed"
    assert (shown(ada, sandbox)["processes"], ada.money.charged) == (0, 1)


def test_it_is_no_activity(ada: Person, clock: Clock) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=60)
    clock.pass_(100)
    tell(sandbox, 1)
    answer = sandbox.platform.step("close_session", sessionId=sandbox.session_id, cause="idle")
    assert answer["decision"] == "stop"


def test_an_agent_that_tells_of_it_is_heard(sandbox: Sandbox, clock: Clock) -> None:
    clock.pass_(100)
    tell(sandbox, 1)
    assert (sandbox.platform.session(sandbox.session_id).last_heard or 0) > clock.now_ms - 50


def test_a_report_that_others_always_come_before_is_to_be_sent_again(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    reasons = [{"Code": "ConditionalCheckFailed"}, {"Code": "None"}, {"Code": "None"}]
    wire.refuse("TransactWriteItems", "TransactionCanceledException", times=5, CancellationReasons=reasons)
    told = {"number": 1, "processes": 1, "active": True, "elapsedMs": 0, "stopped": None}
    assert sandbox.socket.refusal("background", **told)["data"]["error"]["retryable"] is True
    assert tell(sandbox, 1) == GOES_ON
    assert ada.money.charged == 1


def test_a_report_that_is_none_is_refused(sandbox: Sandbox) -> None:
    assert sandbox.socket.refusal("background", number=1)["code"] == INVALID_PARAMS


# createSession


def test_its_time_is_the_stacks_unless_the_session_says_otherwise(ada: Person, configure: Callable[..., None]) -> None:
    configure(BACKGROUND_SECONDS="120")
    assert ada.ready().hello()["backgroundSeconds"] == 120
    sandbox = ada.ready(backgroundSeconds=0)
    assert sandbox.hello()["backgroundSeconds"] == 0
    session = ada.get(f"/api/orchestrator/session/{sandbox.session_id}").body
    assert session["backgroundSeconds"] == 0
