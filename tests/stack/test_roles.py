"""The functions' roles, both ways: what they allow is used, and what they do not allow is refused.

The first by the record of calls of the whole run, in the last of all stack tests. The second by taking one action out
of each role while something is tried that needs it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from filepath_sdk import Filepath
from local.steps import Failure
from tests.stack import grants
from tests.stack.conftest import PASSWORD, WHOLE_RUN, RunningStack, agent_pid, eventually, once

pytestmark = once

Scene = Callable[[RunningStack, Filepath], Iterator[None]]
"""In three parts: what is there before, what is tried without the grant, what comes of it when the grant is back."""


def listing(stack: RunningStack, fp: Filepath) -> Iterator[None]:
    yield
    headers = {"x-api-key": stack.account().key}
    answer = httpx.get(f"{stack.url}/api/orchestrator/session", headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    yield
    assert list(fp.sessions.list()) == []


def opening_a_socket(stack: RunningStack, fp: Filepath) -> Iterator[None]:
    yield
    with pytest.raises(InvalidStatus):
        connect(stack.socket_url, additional_headers={"x-api-key": stack.account().key}, proxy=None)
    yield


def storing_a_large_chunk(stack: RunningStack, fp: Filepath) -> Iterator[None]:
    with fp.sessions.create() as session:
        session.run("true")
        yield
        task = session.start("seq 1 20000; seq 1 20000 | sha256sum >&2")
        yield
        assert task.wait(60).output_bytes > 100_000


def settling(stack: RunningStack, fp: Filepath) -> Iterator[None]:
    with fp.sessions.create() as session:
        session.run("true")
        yield
        task = session.start("exit 4")
        yield
        assert (task.wait(60).exit_code, fp.credits().held, fp.credits().balance) == (4, 0, 998)


def hearing_that_a_sandbox_stopped(stack: RunningStack, fp: Filepath) -> Iterator[None]:
    """The event is lost; that the sandbox does not run is found when the session closes."""
    session = fp.sessions.create()
    task = session.start("echo begun; sleep 60")
    next(event for event in task.events() if getattr(event, "data", b""))
    yield
    os.kill(agent_pid(session.id), signal.SIGKILL)
    yield
    session.close()
    assert (task.wait(60).status, task.output()) == ("cancelled", b"begun\n")


def reconciling(stack: RunningStack, fp: Filepath) -> Iterator[None]:
    yield
    with pytest.raises(Failure, match="AccessDenied"):
        stack.reconcile()
    yield
    stack.reconcile()


def granting(stack: RunningStack, fp: Filepath) -> Iterator[None]:
    with Filepath(url=stack.url) as visitor:
        visitor.sign_up("poor@example.org", PASSWORD, "Poor")
        yield
        with pytest.raises(Failure, match="AccessDenied"):
            stack.invoke("OperatorFunction", {"action": "grant", "email": "poor@example.org", "credits": 5})
        yield
        assert visitor.credits().balance == 1000


TRIED: dict[str, tuple[str, str, Scene]] = {
    "ApiFunction": ("dynamodb:Query", "*/index/owner", listing),
    "ClientsFunction": ("dynamodb:ConditionCheckItem", "*", opening_a_socket),
    "AgentsFunction": ("s3:PutObject", "*/output/*", storing_a_large_chunk),
    "WorkflowFunction": ("dynamodb:PutItem", "*", settling),
    "SandboxEventsFunction": ("dynamodb:UpdateItem", "*", hearing_that_a_sandbox_stopped),
    "ReconcileFunction": ("dynamodb:Query", "*/index/live", reconciling),
    "OperatorFunction": ("dynamodb:UpdateItem", "*", granting),
}


@pytest.mark.parametrize("function", TRIED)
def test_an_action_taken_out_of_a_role_is_denied(stack: RunningStack, fp: Filepath, function: str) -> None:
    action, resource, scene = TRIED[function]
    parts = scene(stack, fp)
    next(parts)
    with stack.without(function, action, resource) as denial:
        next(parts)
        eventually(lambda: any(denial.is_in(line) for line in stack.log().splitlines()))
    next(parts, None)

    assert any(each.is_like(denial) for each in grants.denials(stack.home))


def test_every_function_is_tried(stack: RunningStack) -> None:
    assert {policy.function for policy in grants.policies(stack.home)} == {*TRIED, "Machines"}


def test_a_machine_that_may_not_invoke_its_step_fails_it_with_the_denial(stack: RunningStack, fp: Filepath) -> None:
    with fp.sessions.create() as session:
        session.run("true")
        with stack.without("Machines", "lambda:InvokeFunction"):
            task = session.start("echo late")
            execution = stack.output("TaskMachine").replace(":stateMachine:", ":execution:") + f":{task.workflow_id}"
            eventually(lambda: "not authorized to perform: lambda:InvokeFunction" in _history(stack, execution))

        assert task.wait(60).stdout == "late\n"


def _history(stack: RunningStack, execution: str) -> str:
    try:
        return str(stack.aws("stepfunctions").get_execution_history(executionArn=execution)["events"])
    except stack.aws("stepfunctions").exceptions.ExecutionDoesNotExist:
        return ""


NOT_SHOWN_HERE = {
    ("WorkflowFunction", "iam:PassRole", "*"): "judged by AWS alone, inside RunTask; gates/roles.py compares it",
    ("WorkflowFunction", "ecs:RunTask", "*:task-definition/*"): "here RunTask is judged on the cluster",
    ("WorkflowFunction", "ecs:StopTask", "*:task/*"): "here StopTask is judged on the cluster",
    ("ReconcileFunction", "ecs:StopTask", "*:task/*"): "here StopTask is judged on the cluster",
    ("ApiFunction", "s3:ListBucket", "*"): "asked by S3 alone, to tell an object that is gone from a forbidden one",
    ("ClientsFunction", "s3:ListBucket", "*"): "as the api function's",
    ("Machines", "lambda:InvokeFunction", "*"): "no function's; gates/roles.py compares it, a test above takes it out",
}
"""Grants that no call on this machine rests on, and why they are there all the same."""


@pytest.mark.last
def test_every_grant_is_used_by_some_stack_test(stack: RunningStack, request: pytest.FixtureRequest) -> None:
    if not request.config.stash[WHOLE_RUN]:
        pytest.skip("only a run of all stack tests can tell that none of them uses a grant")
    grants.note_used(stack.home)
    unused = {
        (grant.function, grant.action, resource)
        for grant, (_, resource) in grants.held(stack.home).items()
        if grant not in grants.USED
    }
    unexplained = {each for each in unused if not any(_is_like(each, reason) for reason in NOT_SHOWN_HERE)}
    stale = {reason for reason in NOT_SHOWN_HERE if not any(_is_like(each, reason) for each in unused)}

    assert unexplained == set(), "take these out of the template, or add the stack test that needs them"
    assert stale == set(), "these are used after all, or granted no more"


def _is_like(grant: tuple[str, str, str], reason: tuple[str, str, str]) -> bool:
    return grant[:2] == reason[:2] and fnmatchcase(grant[2], reason[2])


def test_no_role_has_more_than_its_own_policies_but_the_one_to_write_logs(stack: RunningStack) -> None:
    """Which Lambda uses itself, so that no record of calls shows it."""
    assert grants.attached(stack.home) == {"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}
