"""The main job over the socket alone, each step an operation by its name."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from filepath.aws import keys
from tests.stack.conftest import RunningStack, eventually, once

pytestmark = once


class Caller:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result. Raises AssertionError with the error where there is none."""
        number = next(self._ids)
        self._socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(30))
            if message.get("id") == number:
                assert "result" in message, message
                result: dict[str, Any] = message["result"]
                return result

    def ended(self, workflow_id: str) -> dict[str, Any]:
        return eventually(lambda: self.call("getTaskStatus", workflowId=workflow_id), lambda task: task["finishedAt"])

    def output(self, workflow_id: str) -> str:
        """All of it, in pages that fit into a message."""
        text, page = "", self.call("getOutput", workflowId=workflow_id, limit=40_000)
        while page["chunks"]:
            text += "".join(chunk["data"] for chunk in page["chunks"])
            page = self.call("getOutput", workflowId=workflow_id, limit=40_000, after=page["nextOffset"])
        return text


@pytest.fixture
def caller(stack: RunningStack) -> Iterator[Caller]:
    """With the sign-in token, which may make and delete keys too."""
    header = {"authorization": f"Bearer {stack.account().token}"}
    with connect(stack.socket_url, additional_headers=header, proxy=None) as socket:
        yield Caller(socket)


def test_a_session_and_its_tasks_from_their_start_to_their_end(stack: RunningStack, caller: Caller) -> None:
    session = caller.call("createSession", idleTimeoutSeconds=600)["sessionId"]
    command = "seq 1 40000; : " + "x" * 18_000  # too large for the table, and so is most of the output
    task = caller.call("executeTask", sessionId=session, task=command)["workflowId"]

    assert caller.ended(task)["exitCode"] == 0
    assert caller.call("getTask", workflowId=task)["task"] == command
    assert caller.output(task) == "".join(f"{number}\n" for number in range(1, 40_001))

    stack.turn_back(keys.session(session), 300, "lastActive")
    before = caller.call("getSession", sessionId=session)["idleDeadline"]
    assert caller.call("keepAlive", sessionId=session)["idleDeadline"] > before

    task = caller.call("executeTask", sessionId=session, task="sleep 60")["workflowId"]
    eventually(lambda: caller.call("getTaskStatus", workflowId=task), lambda it: it["status"] == "running")
    caller.call("cancelTask", workflowId=task)
    assert caller.ended(task)["status"] == "cancelled"

    caller.call("closeSession", sessionId=session)
    assert eventually(lambda: caller.call("getSession", sessionId=session), lambda it: it["status"] == "closed")


def test_a_key_deleted_over_one_socket_closes_those_it_opened(stack: RunningStack, caller: Caller) -> None:
    made = caller.call("createKey", name="short-lived")
    with connect(stack.socket_url, additional_headers={"x-api-key": made["key"]}, proxy=None) as other:
        caller.call("deleteKey", keyId=made["id"])
        with pytest.raises(ConnectionClosed):
            other.recv(10)
