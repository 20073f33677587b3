"""The clients' socket: who is let in, what is answered, and what is heard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from filepath import protocol
from filepath.operations import registry
from tests.aws.conftest import Clock
from tests.aws.gateway import CLIENTS_API, Socket
from tests.aws.people import Person, Platform
from tests.aws.wire import Wire


@pytest.fixture
def socket(platform: Platform) -> Socket:
    return Socket(CLIENTS_API)


def code_of(answer: dict[str, Any] | None) -> tuple[Any, int, str]:
    """Id, JSON-RPC code and our own, with the envelope checked."""
    assert answer is not None
    error = answer["error"]
    envelope = error["data"]["error"]
    assert set(envelope) == {"code", "message", "requestId", "retryable", "details"}
    assert envelope["message"] == error["message"]
    return answer["id"], error["code"], envelope["code"]


# Who is let in


def test_a_key_opens_the_socket_in_either_header(ada: Person, socket: Socket) -> None:
    assert socket.connect({"X-Api-Key": ada.key}) == 200
    assert Socket(CLIENTS_API).connect({"authorization": f"Bearer {ada.key}"}) == 200
    assert socket.call("getCaller")["user"]["id"] == ada.user_id


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "fp_wrong"}, {"Authorization": "Bearer fpt_" + "0" * 50}])
def test_without_a_valid_credential_the_socket_stays_shut(socket: Socket, headers: dict[str, str]) -> None:
    assert socket.connect(headers) == 401
    assert code_of(socket.send(protocol.request(1, "getHealth", {})))[2] == "not_found"


def test_a_ticket_opens_one_socket(ada: Person, socket: Socket) -> None:
    ticket = ada.post("/api/socket-ticket").body["ticket"]
    assert socket.connect(query={"ticket": ticket}) == 200
    assert socket.call("getCaller")["user"]["id"] == ada.user_id
    assert Socket(CLIENTS_API).connect(query={"ticket": ticket}) == 401


def test_a_ticket_is_taken_by_one_of_two_who_show_it_at_once(ada: Person, socket: Socket, wire: Wire) -> None:
    ticket = ada.post("/api/socket-ticket").body["ticket"]
    first: list[int] = []
    wire.before("DeleteItem", lambda: first.append(Socket(CLIENTS_API).connect(query={"ticket": ticket})))
    assert (socket.connect(query={"ticket": ticket}), first) == (401, [200])


def test_a_ticket_holds_for_a_minute(ada: Person, socket: Socket, clock: Clock) -> None:
    ticket = ada.post("/api/socket-ticket").body["ticket"]
    clock.pass_(61)
    assert socket.connect(query={"ticket": ticket}) == 401


def test_a_ticket_can_what_its_maker_can(ada: Person, socket: Socket) -> None:
    made = ada.post("/api/auth/api-key/create", {"name": "reader", "scopes": ["sessions:read"]}).body
    reader = Person(ada.platform, ada.user_id, made["key"])
    assert socket.connect(query={"ticket": reader.post("/api/socket-ticket").body["ticket"]}) == 200
    assert socket.call("listSessions") == {"sessions": [], "nextToken": None}
    assert code_of(socket.send(protocol.request(2, "createSession", {})))[2] == "forbidden"


def test_a_ticket_of_a_key_that_was_deleted_opens_nothing(ada: Person, socket: Socket) -> None:
    made = ada.post("/api/auth/api-key/create", {"name": "short-lived"}).body
    ticket = Person(ada.platform, ada.user_id, made["key"]).post("/api/socket-ticket").body["ticket"]
    ada.post("/api/auth/api-key/delete", {"keyId": made["id"]})
    assert socket.connect(query={"ticket": ticket}) == 401


def test_a_key_is_no_ticket(ada: Person, socket: Socket) -> None:
    assert socket.connect(query={"ticket": ada.key}) == 401


@pytest.mark.parametrize("wanted", ["session", "workflow"])
def test_only_what_is_ones_own_can_be_asked_for(ada: Person, bob: Person, socket: Socket, wanted: str) -> None:
    session_id = bob.open_session()
    workflow_id = bob.submit(session_id)
    for query, status in (
        ({"session": session_id} if wanted == "session" else {"workflow": workflow_id}, 404),
        ({"session": "ses_nothing"} if wanted == "session" else {"workflow": "nothing"}, 400),
        ({"session": ""} if wanted == "session" else {"workflow": "wf_" + session_id[4:] + "x" * 2000}, 400),
        (
            {"sesion": session_id} if wanted == "session" else {"workflow": "wf_" + session_id[4:]},
            400 if wanted == "session" else 404,
        ),
    ):
        assert socket.connect({"x-api-key": ada.key}, query) == status
    assert Socket(CLIENTS_API).connect({"x-api-key": bob.key}, {"session": session_id}) == 200
    assert Socket(CLIENTS_API).connect({"x-api-key": bob.key}, {"workflow": workflow_id}) == 200
    assert Socket(CLIENTS_API).connect({"x-api-key": bob.key}, {"workflow": "wf_" + session_id[4:]}) == 200


@pytest.mark.parametrize(
    "query",
    [
        {"session": "ses_" + "0" * 3000},
        {"workflow": "wf_" + "0" * 3000},
        {"workflow": "x" * 3000},
        {"sessions": "all"},
        {"session ": ""},
        {"x" * 3000: "1"},
    ],
)
def test_a_handshake_that_asks_for_what_cannot_be_is_refused(
    ada: Person, socket: Socket, query: dict[str, str]
) -> None:
    """With 400, and not as our fault: DynamoDB takes keys of 1,024 bytes."""
    assert socket.connect({"x-api-key": ada.key}, query) == 400
    assert socket.connect(query={"ticket": "x" * 3000}) == 401


# What is answered


def test_every_operation_but_signing_up_in_and_out_answers_by_its_name(ada: Person) -> None:
    socket = ada.listen()
    for name, operation in registry.operations().items():
        error = socket.send(protocol.request(1, operation.rpc_name, {"noSuchField": 1}))
        known = code_of(error)[1] == protocol.INVALID_PARAMS
        assert known == (name not in {"sign_up", "sign_in", "sign_out"}), name


def test_a_request_is_answered_as_over_rest(ada: Person) -> None:
    socket = ada.listen()
    created = socket.call("createSession", name="build")
    assert socket.call("getSession", sessionId=created["sessionId"]) == (
        ada.get(f"/api/orchestrator/session/{created['sessionId']}").body
    )
    queued = socket.call("executeTask", sessionId=created["sessionId"], task="true")
    assert socket.call("listTasks")["workflows"][0]["workflowId"] == queued["workflowId"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", (None, protocol.PARSE_ERROR, "invalid_request")),
        ("", (None, protocol.PARSE_ERROR, "invalid_request")),
        ("[]", (None, protocol.INVALID_REQUEST, "invalid_request")),
        ('{"jsonrpc":"2.0","id":3,"method":"getHealth","params":[]}', (3, protocol.INVALID_PARAMS, "invalid_request")),
        ('{"jsonrpc":"2.0","id":"a","method":"noSuch"}', ("a", protocol.METHOD_NOT_FOUND, "not_found")),
        ('{"jsonrpc":"2.0","id":1,"method":"signUp","params":{}}', (1, protocol.METHOD_NOT_FOUND, "not_found")),
        (
            '{"jsonrpc":"2.0","id":1,"method":"listSessions","params":{"limit":"5"}}',
            (1, protocol.INVALID_PARAMS, "invalid_request"),
        ),
        (
            '{"jsonrpc":"2.0","id":1,"method":"getHealth","params":{"idempotencyKey":5}}',
            (1, protocol.INVALID_PARAMS, "invalid_request"),
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_with_json_rpcs_code_and_the_envelope(
    ada: Person, text: str, expected: tuple[Any, int, str]
) -> None:
    assert code_of(ada.listen().send(text)) == expected


def test_an_id_that_cannot_be_sent_back_is_answered_without_it(ada: Person) -> None:
    """Half of a surrogate pair can be written in JSON, but not in UTF-8."""
    answer = ada.listen().send('{"jsonrpc":"2.0","id":"\\ud800","method":"getHealth"}')
    assert code_of(answer) == (None, protocol.INVALID_REQUEST, "invalid_request")
    assert "surrogate" in answer["error"]["message"]  # type: ignore[index]  # code_of has looked


def test_a_message_over_the_limit_is_too_large(ada: Person) -> None:
    socket = ada.listen()
    large = protocol.request(1, "createSession", {"metadata": {"k": "é" * (protocol.CLIENT_REQUEST_LIMIT // 2)}})
    assert code_of(socket.send(large)) == (None, protocol.SERVER_ERROR, "too_large")


@pytest.mark.parametrize("method", ["getHealth", "noSuch", "getSession"])
def test_a_notification_is_never_answered_not_even_when_it_is_refused(ada: Person, method: str) -> None:
    assert ada.listen().send(protocol.notification(method, {})) is None


def test_an_answer_that_nobody_asked_for_is_let_pass(ada: Person) -> None:
    assert ada.listen().send(protocol.success(1, {})) is None


def test_an_idempotency_key_is_a_param(ada: Person, wire: Wire) -> None:
    socket = ada.listen()
    first = socket.call("createSession", name="build", idempotencyKey="once")
    assert socket.call("createSession", name="build", idempotencyKey="once") == first
    over_rest = ada.post("/api/orchestrator/session", {"name": "build"}, idempotency_key="once")
    assert over_rest.body == first
    refused = socket.refusal("createSession", name="other", idempotencyKey="once")
    assert refused["data"]["error"]["code"] == "conflict"


def test_a_key_is_not_made_repeatably_on_the_socket(ada: Person) -> None:
    """It is derived from the credential, which a message does not carry."""
    refused = ada.listen().refusal("createKey", name="ci", idempotencyKey="once")
    assert refused["code"] == protocol.INVALID_PARAMS
    assert ada.listen().call("createKey", name="ci")["key"].startswith("fp_")


def test_a_connection_that_was_closed_is_told_so(ada: Person) -> None:
    socket = ada.listen()
    socket.disconnect()
    assert code_of(socket.send(protocol.request(1, "getHealth", {})))[2] == "not_found"


# What is heard


def methods_and_types(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(message["params"]["type"], message["params"].get("status", "")) for message in messages]


def test_an_account_hears_of_all_its_own_as_it_happens(ada: Person, wire: Wire) -> None:
    socket = ada.listen()
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    assert sandbox.started(workflow_id) == {"stop": False}
    assert sandbox.output(workflow_id, 0, b"hello\n")["watched"]
    sandbox.socket.call("progress", workflowId=workflow_id, percent=45, message="Building")
    sandbox.exit(workflow_id, 6)
    sandbox.platform.step("settle", workflowId=workflow_id)
    heard = wire.posted(socket.connection_id)
    assert methods_and_types(heard) == [
        ("session", "ready"),
        ("status", "running"),
        ("output", "running"),
        ("status", "running"),
        ("status", "completed"),
    ]
    out, progress, last = (message["params"] for message in heard[2:])
    assert (out["data"], out["offset"], out["stream"]) == ("hello\n", 0, "stdout")
    assert (progress["progress"], progress["message"]) == (45, "Building")
    assert (last["exitCode"], last["outputBytes"], last["creditsCharged"]) == (0, 6, 1)


def test_who_asked_for_one_thing_hears_of_that_alone(ada: Person, wire: Wire) -> None:
    sandbox, other = ada.ready(), ada.ready()
    mine, theirs = ada.submit(sandbox.session_id), ada.submit(sandbox.session_id)
    of_task, of_session = ada.listen(workflow=mine), ada.listen(session=other.session_id)
    for workflow_id in (mine, theirs):
        sandbox.run(workflow_id)
        sandbox.started(workflow_id)
    (heard,) = wire.posted(of_task.connection_id)
    assert heard["params"]["workflowId"] == mine
    assert wire.posted(of_session.connection_id) == []


def test_output_that_nobody_watches_is_said_to_be_so(ada: Person) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    assert sandbox.output(workflow_id, 0, b"a")["watched"] is False


def test_a_client_that_is_gone_is_forgotten_and_the_others_hear_on(ada: Person, wire: Wire, clock: Clock) -> None:
    gone, there = ada.listen(), ada.listen()
    wire.gone.add(gone.connection_id)
    clock.pass_(30)
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    tried = [call["connectionId"] for call in wire.asked("PostToConnection")]
    assert tried.count(gone.connection_id) == 1
    assert len(wire.posted(there.connection_id)) == 2


def test_a_client_told_of_something_before_its_connect_returned_hears_what_comes_after(ada: Person, wire: Wire) -> None:
    """Until a `$connect` has returned API Gateway says of its connection that it is gone."""
    socket = ada.listen()
    wire.gone.add(socket.connection_id)
    sandbox = ada.ready()
    wire.gone.remove(socket.connection_id)
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    assert sandbox.output(workflow_id, 0, b"a")["watched"]
    assert methods_and_types(wire.posted(socket.connection_id)) == [("output", "running")]
    assert socket.call("getHealth")["status"] == "ok"


def test_a_client_that_cannot_be_reached_holds_nobody_up(ada: Person, wire: Wire) -> None:
    ada.listen()
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    wire.refuse("PostToConnection", "LimitExceededException", 429)
    assert sandbox.output(workflow_id, 0, b"a") == {"stored": 1, "stop": False, "watched": True}
    assert not wire.refusals_left


def test_a_client_that_takes_nothing_keeps_an_agent_waiting_once_a_chunk_and_not_once_a_piece(
    ada: Person, wire: Wire, clock: Clock
) -> None:
    def say_nothing() -> None:
        clock.pass_(1)
        raise ReadTimeoutError(endpoint_url="https://clientsapi")

    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    ada.listen()
    for _ in range(3):
        wire.before("PostToConnection", say_nothing)
    began = clock.now_ms
    assert sandbox.socket.call("output", **three_pieces(workflow_id))["watched"]
    assert clock.now_ms - began < 2000


def test_who_missed_a_piece_reads_the_rest_and_the_others_hear_it(ada: Person, wire: Wire) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    away, there = ada.listen(), ada.listen()
    wire.gone.add(away.connection_id)
    sandbox.socket.call("output", **three_pieces(workflow_id))
    tried = [call["connectionId"] for call in wire.asked("PostToConnection")]
    assert tried.count(away.connection_id) == 1
    assert [event["params"]["offset"] for event in wire.posted(there.connection_id)] == [0, 1, 2]
    wire.gone.remove(away.connection_id)
    sandbox.output(workflow_id, 3, b"d")
    assert [event["params"]["offset"] for event in wire.posted(away.connection_id)] == [3]


def three_pieces(workflow_id: str) -> dict[str, Any]:
    runs: tuple[protocol.Run, ...] = (protocol.Run("stdout", 1), protocol.Run("stderr", 1), protocol.Run("stdout", 1))
    return protocol.chunk_params(workflow_id, protocol.Chunk(0, runs, b"abc"))


def test_a_client_hears_nothing_after_its_disconnect(ada: Person, wire: Wire) -> None:
    socket = ada.listen()
    socket.disconnect()
    ada.ready()
    assert wire.posted(socket.connection_id) == []


def test_events_are_json_rpc_notifications(ada: Person, wire: Wire) -> None:
    socket = ada.listen()
    ada.ready()
    (event,) = wire.posted(socket.connection_id)
    assert (event["jsonrpc"], event["method"], "id" in event) == ("2.0", "progress", False)
    assert isinstance(protocol.parse(json.dumps(event)), protocol.Request)
