"""What is logged: the ids on every line, and no secret on any."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from filepath.lifecycle import operator
from filepath.log import logger
from filepath.protocol import End
from tests.aws.gateway import CLIENTS_API, Rest, Socket
from tests.aws.people import Person, Platform
from tests.aws.wire import Wire

PASSWORD, COMMAND, VALUE = "correct horse battery", "deploy --with s3cret-argument", "s3cret-of-the-environment"
OUTPUT = "what the command printed"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logger.registered_handler
    before, level = handler.setStream(written), logger.log_level  # type: ignore[attr-defined]  # a StreamHandler
    logger.setLevel("DEBUG")
    yield written
    logger.setLevel(level)
    handler.setStream(before)  # type: ignore[attr-defined]


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_no_secret_is_logged_on_any_way_through_the_system(
    platform: Platform, log: io.StringIO, wire: Wire, configure: Any
) -> None:
    configure(SIGN_UP="invite")
    anybody, invite = platform.anybody(), operator.invite()["invite"]
    account = {"email": "eve@example.org", "password": PASSWORD, "name": "Eve", "invite": invite}
    token = anybody("POST", "/api/auth/sign-up/email", account).body["token"]
    anybody("POST", "/api/auth/sign-in/email", {"email": "eve@example.org", "password": PASSWORD + "!"})
    anybody("POST", "/api/auth/sign-up/email", {**account, "password": [PASSWORD]})
    signed_in = {"Authorization": f"Bearer {token}"}
    key = anybody("POST", "/api/auth/api-key/create", {"name": "ci"}, headers=signed_in).body["key"]
    Rest(key[:-1])("GET", "/api/credits")
    eve = Person(platform, "usr_eve", key)
    ticket = eve.post("/api/socket-ticket").body["ticket"]
    for _ in range(2):
        Socket(CLIENTS_API).connect(query={"ticket": ticket})
    sandbox = eve.ready(env={"A": VALUE})
    agents_token = sandbox.token
    Socket("agentsapi").connect(sandbox.headers(**{"X-Filepath-Instance": "another"}))
    workflow_id = eve.submit(sandbox.session_id, COMMAND, env={"B": VALUE}, stdin=VALUE)
    callback = sandbox.run(workflow_id)
    wire.refuse("PostToConnection", "GoneException", 410)
    sandbox.output(workflow_id, 0, OUTPUT.encode())
    sandbox.exit(workflow_id, len(OUTPUT), End("exited", 1, exit_code=0))
    wire.refuse("TransactWriteItems", "AccessDeniedException")
    with pytest.raises(Exception, match="AccessDenied"):
        platform.step("settle", workflowId=workflow_id)
    platform.step("settle", workflowId=workflow_id)
    anybody("POST", "/api/auth/sign-out", headers=signed_in)

    written = log.getvalue()
    assert len(lines(log)) > 15
    secrets = (PASSWORD, token, key, ticket, invite, agents_token, callback, "s3cret", OUTPUT)
    assert [secret for secret in secrets if secret in written] == []


def test_every_line_of_a_request_has_its_ids(ada: Person, log: io.StringIO) -> None:
    session_id = ada.open_session()
    workflow_id = ada.submit(session_id)
    ada.get(f"/api/workflow/{workflow_id}")
    created, submitted, read = lines(log)
    assert all(line["request_id"].startswith("request-") for line in (created, submitted, read))
    assert {line["user_id"] for line in (created, submitted, read)} == {ada.user_id}
    assert (created["session_id"], submitted["session_id"]) == (session_id, session_id)
    assert (submitted["workflow_id"], read["workflow_id"]) == (workflow_id, workflow_id)


def test_every_line_of_a_step_has_its_ids(ada: Person, log: io.StringIO) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id)
    of_steps = [line for line in lines(log) if "step" in line]
    assert {line["step"] for line in of_steps} == {"launch_sandbox", "live", "run_command", "settle"}
    for line in of_steps:
        assert line["request_id"].startswith("invocation-")
        is_session = line["step"] in {"launch_sandbox", "live"}
        expected = ("session_id", sandbox.session_id) if is_session else ("workflow_id", workflow_id)
        assert line[expected[0]] == expected[1]


def test_a_key_of_one_request_is_not_on_the_lines_of_the_next(ada: Person, log: io.StringIO) -> None:
    ada.open_session()
    Rest()("GET", "/api/health")
    assert "session_id" not in lines(log)[-1]


def test_a_refused_agent_is_logged_with_the_session_it_named(ada: Person, log: io.StringIO) -> None:
    sandbox = ada.sandbox()
    Socket("agentsapi").connect(sandbox.headers(Authorization="Bearer fp_wrong"))
    refused = lines(log)[-1]
    assert (refused["level"], refused["session_id"]) == ("WARNING", sandbox.session_id)
    assert refused["connection_id"].startswith("connection")


def test_a_fault_of_ours_is_found_by_the_request_id_that_the_caller_was_told(
    ada: Person, log: io.StringIO, wire: Wire
) -> None:
    wire.refuse("GetItem", "AccessDeniedException", times=50)
    told = ada.get("/api/credits").body["error"]["requestId"]
    (failed,) = [line for line in lines(log) if line["level"] == "ERROR"]
    assert failed["request_id"] == told
    assert "AccessDenied" in failed["exception"]
