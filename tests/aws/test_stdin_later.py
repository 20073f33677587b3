"""Writing to a task's standard input while it runs: kept first, posted then, once and in order whoever writes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from filepath.aws import keys, stdin, table
from filepath.aws.stdin import Written
from filepath.aws.table import Update
from filepath.protocol import INVALID_PARAMS
from tests.aws.conftest import Clock
from tests.aws.gateway import Answer
from tests.aws.people import Person, Sandbox
from tests.aws.scenes import played_once
from tests.aws.wire import Wire


@pytest.fixture
@played_once
def workflow_id(ada: Person, sandbox: Sandbox) -> str:
    """A task that runs and can be written to."""
    workflow_id = ada.submit(sandbox.session_id, "cat", stdinOpen=True)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    return workflow_id


def write(person: Person, workflow_id: str, data: str, **more: Any) -> Answer:
    return person.post(f"/api/workflow/{workflow_id}/stdin", {"data": data, **more})


def close(person: Person, workflow_id: str) -> Answer:
    return person.post(f"/api/workflow/{workflow_id}/stdin/close")


def read(sandbox: Sandbox, workflow_id: str, offset: int = 0) -> tuple[bytes, int, bool]:
    piece = sandbox.socket.call("readStdin", workflowId=workflow_id, offset=offset)
    return base64.b64decode(piece["data"]), piece["length"], piece["closed"]


def test_an_agent_is_told_that_more_is_to_come(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    ada_other = ada.submit(sandbox.session_id)
    sandbox.run(ada_other)
    large = ada.submit(sandbox.session_id, stdinOpen=True, stdin="x" * 100_000)
    sandbox.run(large)
    told = {message["params"]["workflowId"]: message["params"]["stdinOpen"] for message in sandbox.posted("exec")}
    assert told == {workflow_id: True, ada_other: False, large: True}


def test_what_is_written_is_posted_with_its_place_and_kept_to_be_asked_for(
    ada: Person, sandbox: Sandbox, workflow_id: str
) -> None:
    assert write(ada, workflow_id, "one\n").body == {"offset": 4}
    assert write(ada, workflow_id, "AP8=", encoding="base64").body == {"offset": 6}
    assert close(ada, workflow_id).body == {"offset": 6}
    posted = [message["params"] for message in sandbox.posted("stdin")]
    assert [(each["offset"], base64.b64decode(each["data"]), each["closed"]) for each in posted] == [
        (0, b"one\n", False),
        (4, b"\0\xff", False),
        (6, b"", True),
    ]
    assert [each["length"] for each in posted] == [4, 6, 6]
    assert read(sandbox, workflow_id) == (b"one\n\0\xff", 6, True)
    assert read(sandbox, workflow_id, 4) == (b"\0\xff", 6, True)
    assert read(sandbox, workflow_id, 6) == (b"", 6, True)


def test_it_can_be_written_before_the_task_runs(ada: Person, sandbox: Sandbox) -> None:
    workflow_id = ada.submit(sandbox.session_id, stdinOpen=True)
    assert write(ada, workflow_id, "early").status == 200
    assert read(sandbox, workflow_id) == (b"early", 5, False)


def test_the_same_sent_again_with_its_offset_is_written_once(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    write(ada, workflow_id, "one", offset=0)
    write(ada, workflow_id, "two", offset=3)
    close(ada, workflow_id)
    assert write(ada, workflow_id, "one", offset=0).body == {"offset": 6}
    assert read(sandbox, workflow_id)[0] == b"onetwo"


@pytest.mark.parametrize("offset", [1, 4, 100])
def test_an_offset_that_leaves_a_gap_or_overlaps_is_a_conflict_that_tells_where_to_go_on(
    ada: Person, sandbox: Sandbox, workflow_id: str, offset: int
) -> None:
    write(ada, workflow_id, "one")
    answer = write(ada, workflow_id, "three", offset=offset)
    assert (answer.status, answer.body["error"]["details"]) == (409, {"offset": 3})
    assert read(sandbox, workflow_id)[0] == b"one"


@pytest.mark.parametrize("before", ["", "begun "])
def test_two_who_write_at_once_are_put_one_behind_the_other(
    ada: Person, sandbox: Sandbox, workflow_id: str, wire: Wire, before: str
) -> None:
    if before:
        write(ada, workflow_id, before)
    wire.before("TransactWriteItems", lambda: write(ada, workflow_id, "first "))
    assert write(ada, workflow_id, "second").body == {"offset": len(before) + 12}
    assert read(sandbox, workflow_id)[0] == f"{before}first second".encode()


def test_what_is_written_as_it_is_closed_is_refused(
    ada: Person, sandbox: Sandbox, workflow_id: str, wire: Wire
) -> None:
    wire.before("TransactWriteItems", lambda: close(ada, workflow_id))
    assert write(ada, workflow_id, "late").status == 409
    assert stdin.get(workflow_id) == Written(0, closed=True)
    assert close(ada, workflow_id).body == {"offset": 0}


def test_writers_who_always_come_first_are_answered_busy(ada: Person, workflow_id: str, wire: Wire) -> None:
    reasons = [{"Code": "ConditionalCheckFailed"}, {"Code": "None"}]
    wire.refuse("TransactWriteItems", "TransactionCanceledException", times=5, CancellationReasons=reasons)
    assert write(ada, workflow_id, "late").status == 503


def test_many_pieces_are_read_in_messages_of_bounded_size(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    data = b"".join(bytes([number]) * 20_000 for number in range(8))
    for start in range(0, len(data), 20_000):
        piece = base64.b64encode(data[start : start + 20_000]).decode()
        assert write(ada, workflow_id, piece, encoding="base64").status == 200
    found = b""
    while len(found) < len(data):
        piece_of_it, length, _ = read(sandbox, workflow_id, len(found))
        assert 0 < len(piece_of_it) <= 64 * 1024
        assert length == len(data)
        found += piece_of_it
    assert found == data


# Bounds


def test_a_write_has_at_most_64_kb(ada: Person, workflow_id: str) -> None:
    assert write(ada, workflow_id, "x" * 65_536).status == 200
    assert write(ada, workflow_id, "x" * 65_537).status == 413


def test_in_all_it_has_at_most_5_mb(ada: Person, workflow_id: str) -> None:
    assert stdin.append(workflow_id, 0, b"x", 1) is not None
    assert stdin.append(workflow_id, 1, b"x" * 1000, 1) is not None
    table.update(Update(keys.stdin(workflow_id), set={"length": 5 * 1024 * 1024 - 2}))
    assert write(ada, workflow_id, "abc").status == 413
    assert write(ada, workflow_id, "ab").body == {"offset": 5 * 1024 * 1024}


@pytest.mark.parametrize(("data", "encoding"), [("", "utf-8"), ("no base64!", "base64"), (" ", "base64")])
def test_what_is_no_data_is_refused(ada: Person, workflow_id: str, data: str, encoding: str) -> None:
    assert write(ada, workflow_id, data, encoding=encoding).status == 400


# When it cannot be written to


@pytest.mark.parametrize("call", [lambda person, task: write(person, task, "x"), close], ids=["write", "close"])
def test_a_task_that_is_over_or_was_not_opened_for_it_is_a_conflict(
    ada: Person, sandbox: Sandbox, workflow_id: str, call: Callable[[Person, str], Answer]
) -> None:
    unopened = ada.submit(sandbox.session_id)
    assert (call(ada, unopened).status, call(ada, unopened).code) == (409, "conflict")
    sandbox.finish(workflow_id)
    assert call(ada, workflow_id).status == 409
    assert stdin.get(workflow_id) == stdin.get(unopened) == Written()


def test_what_was_done_and_is_sent_again_after_the_command_ended_is_answered_as_it_was(
    ada: Person, sandbox: Sandbox, workflow_id: str
) -> None:
    """The first answer was lost, and the command ended with its input."""
    write(ada, workflow_id, "all of it", offset=0)
    close(ada, workflow_id)
    sandbox.finish(workflow_id)
    assert write(ada, workflow_id, "all of it", offset=0).body == {"offset": 9}
    assert close(ada, workflow_id).body == {"offset": 9}
    assert [write(ada, workflow_id, "x", offset=offset).status for offset in (9, None)] == [409, 409]


# Activity, and what was lost


@pytest.mark.parametrize("call", [lambda person, task: write(person, task, "x"), close], ids=["write", "close"])
def test_it_is_activity(
    ada: Person, sandbox: Sandbox, workflow_id: str, wire: Wire, clock: Clock, call: Callable[[Person, str], Answer]
) -> None:
    clock.pass_(10_000)
    call(ada, workflow_id)
    assert wire.beats == [sandbox.live_token]
    assert sandbox.platform.session(sandbox.session_id).last_active > clock.now_ms - 100


def test_hello_and_heartbeats_tell_how_much_there_is(
    ada: Person, sandbox: Sandbox, workflow_id: str, wire: Wire
) -> None:
    ada.submit(sandbox.session_id)
    wire.gone.add(sandbox.socket.connection_id)
    write(ada, workflow_id, "lost")
    sandbox.dial()
    told = [{"workflowId": workflow_id, "length": 4, "closed": False}]
    assert sandbox.hello(workflow_id)["stdin"] == told
    assert sandbox.heartbeat(workflow_id)["stdin"] == told
    close(ada, workflow_id)
    assert sandbox.heartbeat(workflow_id)["stdin"] == [{**told[0], "closed": True}]


def test_an_agent_that_asks_for_a_task_that_is_over_or_not_its_own_is_told_stop(
    ada: Person, bob: Person, sandbox: Sandbox, workflow_id: str
) -> None:
    other = bob.ready()
    theirs = bob.submit(other.session_id, stdinOpen=True)
    write(bob, theirs, "theirs")
    sandbox.finish(workflow_id)
    for stopped in (theirs, workflow_id):
        assert sandbox.socket.call("readStdin", workflowId=stopped, offset=0) == {"stop": True}


@pytest.mark.parametrize("offset", [-1, True, "1", None, 2])
def test_an_offset_at_which_nothing_begins_is_refused(
    ada: Person, sandbox: Sandbox, workflow_id: str, offset: object
) -> None:
    write(ada, workflow_id, "one")
    write(ada, workflow_id, "two")
    assert sandbox.socket.refusal("readStdin", workflowId=workflow_id, offset=offset)["code"] == INVALID_PARAMS
