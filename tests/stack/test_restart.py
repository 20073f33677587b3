"""`make down` and `make up`: nothing goes on costing, nothing is forgotten."""

from __future__ import annotations

import pytest

from tests.stack.conftest import started
from tests.stack.test_main_job import gate


def test_what_runs_at_down_is_settled_and_the_account_works_after_up(
    tmp_path_factory: pytest.TempPathFactory, sandboxes: str
) -> None:
    stack = started(tmp_path_factory.mktemp("restarted"), sandboxes)
    try:
        key = stack.account().key
        with stack.client(key) as fp:
            session = fp.sessions.create()
            task = session.start("echo so far; sleep 300", timeout=600)
            next(event for event in task.events() if getattr(event, "data", b""))
        stack.command("down")
        stack.command("up")

        with stack.client(key) as fp:
            ended = fp.tasks.attach(task.workflow_id)
            assert [each.status for each in fp.sessions.list()] == ["closed"]
            assert fp.sessions.get(session.id).info.reason == "shutdown"
            assert (ended.status().status, ended.status().reason) == ("cancelled", "session_closed")
            assert ended.output() == b"so far\n"
            assert (fp.credits().held, fp.credits().balance) == (0, 999)
        gate(stack, {"FILEPATH_API_KEY": key})
    finally:
        stack.forget()
