"""The agents' door: the first agent with the session's token is let in, nobody else."""

from __future__ import annotations

import pytest

from filepath import protocol
from filepath.aws import keys, table
from tests.aws.gateway import AGENTS_API, Socket
from tests.aws.people import Person, Sandbox
from tests.aws.scenes import played_once
from tests.aws.wire import Wire


@pytest.fixture
@played_once
def sandbox(ada: Person) -> Sandbox:
    return ada.sandbox()


def test_the_sessions_agent_is_let_in(sandbox: Sandbox) -> None:
    assert Socket(AGENTS_API).connect(sandbox.headers()) == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer fp_wrong"},
        {"Authorization": "Basic x"},
        {"X-Filepath-Session": ""},
        {"X-Filepath-Session": "ses_" + "0" * 20},
        {"X-Filepath-Session": "../SESSION"},
        {"X-Filepath-Instance": ""},
        {"X-Filepath-Instance": "x" * 65},
    ],
)
def test_whoever_is_not_the_sessions_agent_is_refused(sandbox: Sandbox, wrong: dict[str, str]) -> None:
    assert Socket(AGENTS_API).connect(sandbox.headers(**wrong)) == 401


def test_the_token_of_one_session_opens_no_other(ada: Person, sandbox: Sandbox) -> None:
    other = ada.sandbox()
    headers = sandbox.headers(**{"X-Filepath-Session": other.session_id})
    assert Socket(AGENTS_API).connect(headers) == 401


def test_a_key_of_the_sessions_owner_opens_no_agents_socket(ada: Person, sandbox: Sandbox) -> None:
    assert Socket(AGENTS_API).connect(sandbox.headers(Authorization=f"Bearer {ada.key}")) == 401


def test_the_first_instance_binds_the_token_and_comes_back_with_it(sandbox: Sandbox) -> None:
    """RunTask's overrides, where the token travelled, can be read by who may describe tasks."""
    sandbox.dial()
    thief = sandbox.headers(**{"X-Filepath-Instance": "instance-2"})
    assert Socket(AGENTS_API).connect(thief) == 401
    sandbox.dial()
    assert sandbox.hello()["sessionId"] == sandbox.session_id


def test_once_bound_the_token_stands_nowhere_in_the_table(sandbox: Sandbox) -> None:
    token = sandbox.token
    assert (table.get(keys.session(sandbox.session_id)) or {})["token"] == token
    sandbox.dial()
    assert token not in str(table.get(keys.session(sandbox.session_id)))


def test_an_agent_whose_sandbox_is_gone_is_refused(sandbox: Sandbox) -> None:
    sandbox.stopped()
    assert Socket(AGENTS_API).connect(sandbox.headers()) == 401


def test_an_agent_of_a_session_that_is_over_is_refused(ada: Person, sandbox: Sandbox) -> None:
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    sandbox.platform.step("end_session", sessionId=sandbox.session_id)
    assert Socket(AGENTS_API).connect(sandbox.headers()) == 401


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", protocol.PARSE_ERROR),
        ('{"jsonrpc":"2.0","id":1,"method":"noSuch"}', protocol.METHOD_NOT_FOUND),
        ('{"jsonrpc":"2.0","id":1,"method":"createSession"}', protocol.METHOD_NOT_FOUND),
        ('{"jsonrpc":"2.0","id":1,"method":"started","params":{}}', protocol.INVALID_PARAMS),
        ('{"jsonrpc":"2.0","id":1,"method":"started","params":{"workflowId":"../x"}}', protocol.INVALID_PARAMS),
        ('{"jsonrpc":"2.0","id":1,"method":"hello","params":{"tasks":"wf"}}', protocol.INVALID_PARAMS),
    ],
)
def test_a_message_that_is_none_is_refused(sandbox: Sandbox, text: str, code: int) -> None:
    answer = sandbox.dial().send(text)
    assert answer is not None
    assert answer["error"]["code"] == code


def test_a_busy_table_is_told_as_to_be_tried_again(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.dial()
    wire.refuse("UpdateItem", "ProvisionedThroughputExceededException", times=50)
    refused = sandbox.socket.refusal("heartbeat", tasks=[])
    assert refused["code"] == protocol.SERVER_ERROR
    assert refused["data"]["error"]["retryable"] is True


def test_a_fault_of_ours_is_left_to_api_gateway_to_answer(sandbox: Sandbox, wire: Wire) -> None:
    """In its own words, which the agent takes for: send again."""
    sandbox.dial()
    wire.refuse("UpdateItem", "AccessDeniedException", times=50)
    with pytest.raises(Exception, match="AccessDenied"):
        sandbox.socket.send(protocol.request(1, "heartbeat", {"tasks": []}))


def test_a_connection_that_is_not_known_is_closed_so_that_its_agent_connects_again(
    sandbox: Sandbox, wire: Wire
) -> None:
    """Its `$disconnect` came before its last message."""
    unknown = Socket(AGENTS_API)
    assert unknown.send(protocol.request(1, "hello", {"tasks": []})) is None
    assert len(wire.asked("DeleteConnection")) == 1
