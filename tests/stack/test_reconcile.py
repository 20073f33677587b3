"""What falls between the table and the machines is set right: by the steps that follow, or by the minute's reconcile,
which is called at once here."""

from __future__ import annotations

import os
import signal

import httpx

from filepath import ids
from filepath.aws import keys
from filepath_sdk import Filepath, Session
from filepath_sdk.task import Task
from tests.stack.conftest import RunningStack, agent_pid, eventually, once

pytestmark = once


def reported(stack: RunningStack, task: Task) -> bool:
    """Whether its agent has reported its end, so that only its machine is left to go on."""
    return "exited" in stack.item(keys.task(task.workflow_id))


def refused(stack: RunningStack, key: str, path: str, body: dict[str, str]) -> None:
    headers = {"x-api-key": key}
    answer = httpx.post(f"{stack.url}/api/orchestrator{path}", headers=headers, json=body, timeout=30)
    assert answer.status_code == 500, answer.text


def test_a_task_that_was_accepted_and_not_started_is_started(stack: RunningStack) -> None:
    key = stack.account().key
    with stack.client(key) as fp, fp.sessions.create() as session:
        session.run("true")  # or a hello that comes after the task gives it to the sandbox
        with stack.without("ApiFunction", "states:StartExecution", "*:stateMachine:*TaskMachine*"):
            refused(stack, key, "", {"sessionId": session.id, "task": "echo late"})
        (task,) = fp.tasks.list(session_id=session.id, status="queued")
        stack.turn_back(keys.task(task.workflow_id), 61, "createdAt")
        stack.reconcile()

        assert fp.tasks.attach(task.workflow_id).wait(60).stdout == "late\n"


def test_a_session_that_was_accepted_and_not_started_is_started(stack: RunningStack) -> None:
    key = stack.account().key
    with stack.client(key) as fp:
        with stack.without("ApiFunction", "states:StartExecution", "*:stateMachine:*SessionMachine*"):
            refused(stack, key, "/session", {})
        (session,) = fp.sessions.list()
        stack.turn_back(keys.session(session.id), 61, "createdAt")
        stack.reconcile()
        with session:
            assert session.run("echo late").stdout == "late\n"


def test_a_task_whose_machine_was_stopped_is_settled_with_what_it_did(
    stack: RunningStack, fp: Filepath, session: Session
) -> None:
    task = session.start("echo begun; until [ -e go ]; do sleep 0.1; done; echo done; exit 3")
    next(event for event in task.events() if getattr(event, "data", b""))
    stack.stop_machine("TaskMachine", task.workflow_id)
    session.run("touch go")
    eventually(lambda: reported(stack, task))
    stack.turn_back(keys.task(task.workflow_id), 61, "createdAt")
    stack.reconcile()
    result = task.wait(60)

    assert (result.status, result.exit_code, result.stdout) == ("completed", 3, "begun\ndone\n")
    assert (result.credits_charged, fp.credits().held) == (1, 0)


def test_a_closing_session_whose_machine_was_stopped_ends(stack: RunningStack, fp: Filepath) -> None:
    session = fp.sessions.create()
    task = session.start("echo begun; sleep 60")
    next(event for event in task.events() if getattr(event, "data", b""))
    stack.stop_machine("SessionMachine", ids.session_workflow_id(session.id))
    session.close()
    stack.turn_back(keys.session(session.id), 121, "closingAt")
    stack.reconcile()

    assert eventually(session.refresh, lambda info: info.status == "closed").reason == "user"
    assert task.wait(30).status == "cancelled"
    assert fp.credits().held == 0


def test_a_silent_agents_sandbox_is_stopped_and_its_tasks_are_lost(stack: RunningStack, fp: Filepath) -> None:
    """Also where the launch's reply was lost, and the sandbox's ARN with it."""
    session = fp.sessions.create()
    task = session.start("echo begun; sleep 60")
    next(event for event in task.events() if getattr(event, "data", b""))
    os.kill(agent_pid(session.id), signal.SIGSTOP)
    stack.turn_back(keys.session(session.id), 121, "lastHeard", "readyAt")
    stack.change(keys.session(session.id), "REMOVE taskArn")
    stack.reconcile()
    result = task.wait(60)

    assert (result.status, result.reason, result.stdout) == ("lost", "silent", "begun\n")
    assert eventually(session.refresh, lambda info: info.status == "closed").reason == "silent"


def test_a_sandbox_whose_launch_was_never_answered_is_found_when_its_session_closes(
    stack: RunningStack, fp: Filepath
) -> None:
    session = fp.sessions.create()
    session.run("true")
    stack.change(keys.session(session.id), "REMOVE taskArn")
    session.close()

    assert eventually(session.refresh, lambda info: info.status == "closed").reason == "user"
