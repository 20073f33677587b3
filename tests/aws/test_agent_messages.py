"""What an agent's messages cause, and what each is answered."""

from __future__ import annotations

import pytest

from filepath import ids
from filepath.aws import logs
from filepath.protocol import INVALID_PARAMS, End
from tests.aws.conftest import Clock
from tests.aws.people import EXITED, Person, Sandbox
from tests.aws.wire import Wire

# hello


def test_hello_makes_the_session_ready_and_wakes_its_machine(ada: Person, wire: Wire) -> None:
    sandbox = ada.sandbox(env={"A": "b"})
    sandbox.dial()
    answer = sandbox.hello()
    assert answer == {
        "sessionId": sandbox.session_id,
        "env": {"A": "b"},
        "heartbeatSeconds": 30,
        "graceSeconds": 5,
        "backgroundSeconds": 300,
        "outputLimitBytes": 1024**3,
        "stop": [],
        "tasks": [],
        "stdin": [],
    }
    assert sandbox.platform.session(sandbox.session_id).status == "ready"
    assert wire.woken == [sandbox.launch_token]


def test_a_later_hello_wakes_nothing(sandbox: Sandbox, wire: Wire) -> None:
    before = wire.woken
    sandbox.dial()
    sandbox.hello()
    assert wire.woken == before


def test_hello_gives_what_was_submitted_before_it(ada: Person) -> None:
    sandbox = ada.sandbox()
    workflow_ids = [ada.submit(sandbox.session_id, f"echo {number}") for number in range(2)]
    for workflow_id in workflow_ids:
        sandbox.run(workflow_id)
    sandbox.dial()
    assert sandbox.given() == []
    sandbox.hello()
    assert sandbox.given() == workflow_ids
    assert [message["params"]["command"] for message in sandbox.posted("exec")] == ["echo 0", "echo 1"]


def test_hello_tells_to_stop_what_is_not_open(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    done = ada.submit(sandbox.session_id)
    sandbox.run(done)
    sandbox.finish(done)
    sandbox.dial()
    assert sandbox.hello(workflow_id, done, "wf_unknown")["stop"] == sorted([done, "wf_unknown"])
    assert sandbox.given() == []


# started, progress


def test_started_makes_the_task_run_from_the_first_time_it_is_said(
    sandbox: Sandbox, workflow_id: str, clock: Clock
) -> None:
    first = sandbox.platform.task(workflow_id)
    clock.pass_(10)
    assert sandbox.started(workflow_id) == {"stop": False}
    assert (first.status, sandbox.platform.task(workflow_id).started_at) == ("running", first.started_at)


def test_progress_is_shown(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    sandbox.socket.call("progress", workflowId=workflow_id, percent=45, message="x" * 2000)
    shown = ada.get(f"/api/workflow/{workflow_id}/status").body
    assert (shown["progress"], shown["message"]) == (45, "x" * 1000)
    sandbox.socket.call("progress", workflowId=workflow_id, percent=50, message=None)
    assert ada.get(f"/api/workflow/{workflow_id}/status").body["message"] == "x" * 1000


@pytest.mark.parametrize("percent", [-1, 101, 1.5, "5", True, None])
def test_progress_that_is_no_percentage_is_refused(sandbox: Sandbox, workflow_id: str, percent: object) -> None:
    refused = sandbox.socket.refusal("progress", workflowId=workflow_id, percent=percent)
    assert refused["code"] == INVALID_PARAMS


# output


def test_output_is_answered_with_how_much_is_stored(sandbox: Sandbox, workflow_id: str) -> None:
    assert sandbox.output(workflow_id, 0, b"abc") == {"stored": 3, "stop": False, "watched": False}
    assert sandbox.output(workflow_id, 3, b"de")["stored"] == 5


def test_a_chunk_sent_again_is_stored_once_and_told_to_clients(
    ada: Person, sandbox: Sandbox, workflow_id: str, wire: Wire
) -> None:
    """Told twice at worst: the acknowledgement of the first may be what was lost, and clients go by the offset."""
    socket = ada.listen()
    for _ in range(2):
        assert sandbox.output(workflow_id, 0, b"abc")["stored"] == 3
    assert ada.get(f"/api/workflow/{workflow_id}/output").body["chunks"][0]["data"] == "abc"
    assert [message["params"]["offset"] for message in wire.posted(socket.connection_id)] == [0, 0]


def test_output_after_a_gap_is_told_where_to_go_on_and_not_to_clients(
    ada: Person, sandbox: Sandbox, workflow_id: str, wire: Wire
) -> None:
    socket = ada.listen()
    assert sandbox.output(workflow_id, 5, b"late") == {"stored": 0, "stop": False, "watched": False}
    assert wire.posted(socket.connection_id) == []


def test_an_answer_lost_after_the_chunk_was_put_loses_nothing(sandbox: Sandbox, workflow_id: str, wire: Wire) -> None:
    """The function died between putting the chunk and counting it."""
    sandbox.output(workflow_id, 0, b"abc")
    wire.refuse("UpdateItem", "InternalServerError", 500, times=4)
    assert sandbox.socket.send(_chunk_message(workflow_id, 3, b"def"))["error"]["data"]["error"]["retryable"]  # type: ignore[index]  # an answer
    assert logs.get(workflow_id).stored == 3
    assert sandbox.output(workflow_id, 3, b"def")["stored"] == 6


def _chunk_message(workflow_id: str, offset: int, data: bytes) -> str:
    from filepath import protocol

    chunk = protocol.Chunk(offset, (protocol.Run("stdout", len(data)),), data)
    return protocol.request(1, "output", protocol.chunk_params(workflow_id, chunk))


# ended, exit


def test_an_exit_is_taken_only_when_every_byte_is_stored(sandbox: Sandbox, workflow_id: str, wire: Wire) -> None:
    sandbox.output(workflow_id, 0, b"abc")
    before = wire.woken
    assert sandbox.exit(workflow_id, 5) == {"stored": 3, "stop": False, "accepted": False}
    assert (sandbox.platform.task(workflow_id).exited, wire.woken) == (False, before)
    sandbox.output(workflow_id, 3, b"de")
    assert sandbox.exit(workflow_id, 5) == {"stored": 5, "stop": True, "accepted": True}
    assert len(wire.woken) == len(before) + 1


def test_an_end_reported_early_stays_what_it_was(sandbox: Sandbox, workflow_id: str) -> None:
    assert sandbox.ended(workflow_id, End("exited", 1500, exit_code=3)) == {"stop": False}
    assert sandbox.platform.task(workflow_id).status == "running"
    sandbox.exit(workflow_id, 0, End("exited", 9999, exit_code=0))
    assert sandbox.platform.task(workflow_id).end == End("exited", 1500, exit_code=3)


def test_a_task_told_by_its_exit_alone_ends_like_any_other(
    ada: Person, sandbox: Sandbox, clock: Clock, wire: Wire
) -> None:
    socket = ada.listen()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    clock.pass_(5)
    sandbox.output(workflow_id, 0, b"out")
    sandbox.exit(workflow_id, 3, End("exited", 20, exit_code=3))
    sandbox.platform.step("settle", workflowId=workflow_id)
    status = ada.get(f"/api/workflow/{workflow_id}/status").body
    shown = [status[name] for name in ("status", "exitCode", "creditsCharged", "outputBytes")]
    assert shown == ["completed", 3, 1, 3]
    task = sandbox.platform.task(workflow_id)
    assert task.started_at
    assert task.finished_at
    assert 20 <= task.finished_at - task.started_at < 100  # each look at the clock is a millisecond of it
    heard = [message["params"] for message in wire.posted(socket.connection_id)]
    assert [event["status"] for event in heard if event["type"] == "status"] == ["completed"]


def test_a_task_that_its_agent_failed_at_is_failed_with_what_wait_said(ada: Person, sandbox: Sandbox) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id, b"so far", End("failed", 61_000, signal="TERM", message="the agent failed"))
    status = ada.get(f"/api/workflow/{workflow_id}/status").body
    shown = [status[name] for name in ("status", "reason", "signal", "message", "creditsCharged", "outputBytes")]
    assert shown == ["failed", "agent_failed", "TERM", "the agent failed", 2, 6]


def test_an_end_that_is_none_is_refused(sandbox: Sandbox, workflow_id: str) -> None:
    refused = sandbox.socket.refusal("exit", workflowId=workflow_id, outputBytes=0, end={"cause": "exited"})
    assert refused["code"] == INVALID_PARAMS


# heartbeat


def test_a_heartbeat_brings_signals_and_what_to_stop(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    ada.post(f"/api/workflow/{workflow_id}/cancel", {"signal": "INT"})
    answer = sandbox.heartbeat(workflow_id, "wf_unknown")
    signals = [{"workflowId": workflow_id, "signal": "INT"}]
    assert answer == {"stop": ["wf_unknown"], "signals": signals, "stdin": []}


def test_a_heartbeat_gives_again_what_never_arrived(sandbox: Sandbox, workflow_id: str) -> None:
    assert sandbox.given() == [workflow_id]
    sandbox.heartbeat()
    assert sandbox.given() == [workflow_id, workflow_id]


def test_a_heartbeat_does_not_give_again_what_has_exited(sandbox: Sandbox, workflow_id: str) -> None:
    sandbox.exit(workflow_id)
    sandbox.heartbeat()
    assert sandbox.given() == [workflow_id]


def test_a_heartbeat_after_the_sandbox_was_declared_gone_is_told_to_end(sandbox: Sandbox) -> None:
    sandbox.stopped()
    assert sandbox.socket.refusal("heartbeat", tasks=[])["data"]["error"]["code"] == "session_closed"


# Whose task it is


@pytest.mark.parametrize("method", ["started", "output", "ended", "exit", "progress"])
def test_a_message_about_another_sessions_task_is_answered_stop_and_changes_nothing(
    bob: Person, sandbox: Sandbox, method: str
) -> None:
    other = bob.ready()
    theirs = bob.submit(other.session_id)
    other.run(theirs)
    before = sandbox.platform.task(theirs)
    params = {"offset": 0, "runs": [["stdout", 1]], "data": "YQ==", "percent": 1, "end": EXITED.params()}
    answer = sandbox.socket.call(method, workflowId=theirs, outputBytes=0, **params)
    assert answer["stop"] is True
    assert (sandbox.platform.task(theirs), logs.get(theirs).stored) == (before, 0)


@pytest.mark.parametrize("method", ["started", "ended", "exit", "progress"])
def test_a_message_about_a_task_that_never_was_is_answered_stop(sandbox: Sandbox, method: str) -> None:
    never = ids.task_id(sandbox.session_id, 0, b"never")
    answer = sandbox.socket.call(method, workflowId=never, percent=1, end=EXITED.params(), outputBytes=0)
    assert answer["stop"] is True


def test_the_sessions_own_workflow_is_no_task_of_the_agents(sandbox: Sandbox) -> None:
    assert sandbox.started(ids.session_workflow_id(sandbox.session_id)) == {"stop": True}
