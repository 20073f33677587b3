"""Output as bytes: `format=raw`, over REST."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from filepath import output, protocol
from tests.aws.conftest import Clock, template
from tests.aws.gateway import BINARY_MEDIA_TYPES, Answer
from tests.aws.people import Person, Sandbox
from tests.aws.test_output_pages import write_in_turn
from tests.aws.wire import Wire

OCTETS = "application/octet-stream"
ALL_BYTES = bytes(range(256))


def raw(person: Person, workflow_id: str, query: str = "", accept: str = OCTETS) -> Answer:
    headers = {"x-api-key": person.key, "Accept": accept}
    return person.rest("GET", f"/api/workflow/{workflow_id}/output?format=raw{query}", headers=headers)


def write(sandbox: Sandbox, workflow_id: str, data: bytes) -> None:
    size = 64 * 1024
    for offset in range(0, len(data), size):
        sandbox.output(workflow_id, offset, data[offset : offset + size])


def read_on(person: Person, workflow_id: str, query: str = "") -> Iterator[bytes]:
    """What a loop by the headers gives, request by request."""
    after = "0"
    for _ in range(100):
        answer = raw(person, workflow_id, f"&after={after}{query}")
        assert answer.status == 200, answer.text
        yield answer.content
        after = answer.headers["x-next-offset"]
        if answer.headers["x-complete"] == "true":
            return
    pytest.fail("it never came to an end")


def test_the_answer_is_the_logs_bytes_and_says_where_to_go_on(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    sandbox.output(workflow_id, 0, ALL_BYTES)
    sandbox.output(workflow_id, 256, b"err", "stderr")
    answer = raw(ada, workflow_id)
    assert (answer.status, answer.content) == (200, ALL_BYTES + b"err")
    shown = {name: answer.headers[name] for name in ("content-type", "x-next-offset", "x-complete")}
    assert shown == {"content-type": OCTETS, "x-next-offset": "259", "x-complete": "false"}


def test_a_loop_by_the_headers_reads_everything(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    sandbox.finish(workflow_id, ALL_BYTES)
    found = list(read_on(ada, workflow_id, "&limit=100"))
    assert ([len(part) for part in found], b"".join(found)) == ([100, 100, 56], ALL_BYTES)


def test_a_character_that_a_limit_cuts_is_whole_again_when_the_parts_are_joined(
    ada: Person, sandbox: Sandbox, workflow_id: str
) -> None:
    sandbox.finish(workflow_id, "aé😀".encode())
    found = list(read_on(ada, workflow_id, "&limit=2"))
    assert found[0] == b"a\xc3"
    assert b"".join(found).decode() == "aé😀"


def test_an_answer_has_4_mib_unless_less_is_asked_for(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    data = b"\xff\x00" * (2 * 1024 * 1024) + b"!"
    write(sandbox, workflow_id, data)
    first = raw(ada, workflow_id)
    assert (first.content == data[:-1], first.headers["x-next-offset"]) == (True, str(4 * 1024 * 1024))
    assert raw(ada, workflow_id, f"&after={first.headers['x-next-offset']}").content == b"!"
    assert raw(ada, workflow_id, "&limit=3").content == b"\xff\x00\xff"


def test_a_stream_is_read_by_itself_and_offsets_count_both(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    write_in_turn(sandbox, workflow_id, b"oe" * 1000)
    sandbox.exit(workflow_id, 2000)
    sandbox.platform.step("settle", workflowId=workflow_id)
    found = list(read_on(ada, workflow_id, "&stream=stderr&limit=501"))
    assert ([len(part) for part in found], b"".join(found)) == ([250, 251, 250, 249], b"e" * 1000)
    assert raw(ada, workflow_id, "&stream=stdout").content == b"o" * 1000


def test_a_stream_without_a_byte_in_reach_is_an_empty_answer_that_goes_on(
    ada: Person, sandbox: Sandbox, workflow_id: str
) -> None:
    sandbox.output(workflow_id, 0, b"out")
    answer = raw(ada, workflow_id, "&stream=stderr")
    assert (answer.status, answer.content, answer.headers["x-next-offset"]) == (200, b"", "3")


def test_more_is_waited_for(ada: Person, sandbox: Sandbox, workflow_id: str, clock: Clock) -> None:
    clock.meanwhile = iter([lambda: None, lambda: sandbox.output(workflow_id, 0, b"hello")])
    assert raw(ada, workflow_id, "&wait=20").content == b"hello"
    finish = lambda: sandbox.finish(workflow_id, b"hello")  # noqa: E731
    clock.meanwhile = iter([finish, lambda: pytest.fail("waited on")])
    answer = raw(ada, workflow_id, "&wait=20&after=5")
    assert (answer.content, answer.headers["x-complete"]) == (b"", "true")


@pytest.mark.parametrize("over", [False, True])
def test_behind_the_end_is_nothing_and_the_end_is_where_to_go_on(
    ada: Person, sandbox: Sandbox, workflow_id: str, *, over: bool
) -> None:
    sandbox.output(workflow_id, 0, b"hello")
    if over:
        sandbox.finish(workflow_id, b"hello")
    answer = raw(ada, workflow_id, "&after=1000")
    assert (answer.status, answer.content, answer.headers["x-next-offset"]) == (200, b"", "5")
    assert answer.headers["x-complete"] == str(over).lower()


def test_what_takes_long_to_read_is_read_in_several_answers(
    ada: Person, sandbox: Sandbox, workflow_id: str, clock: Clock, wire: Wire
) -> None:
    """API Gateway would give up the call, and the same one again."""
    for offset in range(0, 60_000, 20_000):
        sandbox.output(workflow_id, offset, ALL_BYTES * 78 + bytes(32))
    sandbox.exit(workflow_id, 60_000)
    sandbox.platform.step("settle", workflowId=workflow_id)
    wire.before("GetObject", lambda: clock.pass_(25))
    assert [len(part) for part in read_on(ada, workflow_id)] == [20_000, 40_000]
    wire.before("GetObject", lambda: clock.pass_(25))
    page = ada.get(f"/api/workflow/{workflow_id}/output").body
    assert (page["nextOffset"], page["complete"]) == (20_000, False)


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", f"application/json, {OCTETS}", f"{OCTETS}, */*", f"{OCTETS};q=1", ""]
)
def test_who_would_be_given_base64_is_refused_and_told_what_to_send(
    ada: Person, sandbox: Sandbox, workflow_id: str, accept: str
) -> None:
    """API Gateway makes bytes of an answer for who accepts the template's type, and for nobody else."""
    sandbox.output(workflow_id, 0, ALL_BYTES)
    refused = raw(ada, workflow_id, accept=accept)
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert refused.body["error"]["details"] == {"field": "format"}
    assert "Accept: application/octet-stream" in refused.body["error"]["message"]


def test_the_template_makes_bytes_of_answers_to_whom_the_platform_gives_them() -> None:
    assert template()["Resources"]["RestApi"]["Properties"]["BinaryMediaTypes"] == list(BINARY_MEDIA_TYPES) == [OCTETS]


def test_who_accepts_bytes_is_given_json_where_bytes_were_not_asked_for(
    ada: Person, sandbox: Sandbox, workflow_id: str
) -> None:
    sandbox.output(workflow_id, 0, b"hello")
    headers = {"x-api-key": ada.key, "Accept": OCTETS}
    for query in ("", "?format=json"):
        page = ada.rest("GET", f"/api/workflow/{workflow_id}/output{query}", headers=headers)
        assert page.body["chunks"][0]["data"] == "hello"
    missing = ada.rest("GET", f"/api/workflow/wf_{'0' * 32}/output?format=raw", headers=headers)
    assert (missing.status, missing.code) == (404, "not_found")


def test_anothers_bytes_are_not_found(bob: Person, sandbox: Sandbox, workflow_id: str) -> None:
    sandbox.output(workflow_id, 0, b"ada's own")
    refused = raw(bob, workflow_id)
    assert (refused.status, refused.code) == (404, "not_found")


def test_a_body_that_arrives_as_base64_is_read(ada: Person) -> None:
    """As API Gateway hands on a body of the type in which it gives bytes."""
    headers = {"x-api-key": ada.key, "Content-Type": OCTETS}
    assert ada.rest("POST", "/api/orchestrator/session", '{"name": "é"}', headers=headers).status == 202


def test_the_socket_has_no_bytes_and_says_where_they_are(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    sandbox.output(workflow_id, 0, b"hello")
    socket = ada.listen()
    refused = socket.refusal("getOutput", workflowId=workflow_id, format="raw")
    assert (refused["code"], refused["data"]["error"]["code"]) == (protocol.INVALID_PARAMS, "invalid_request")
    assert "REST" in refused["message"]
    assert socket.call("getOutput", workflowId=workflow_id, format="json")["chunks"][0]["data"] == "hello"


def test_either_format_has_a_limit_of_its_own(ada: Person, workflow_id: str) -> None:
    path = f"/api/workflow/{workflow_id}/output"
    refused = ada.get(f"{path}?limit={output.MAX_READ + 1}")
    assert (refused.status, refused.body["error"]["details"]["fields"][0]["field"]) == (400, "limit")
    assert raw(ada, workflow_id, f"&limit={output.MAX_RAW_READ}").status == 200
    beyond = raw(ada, workflow_id, f"&limit={output.MAX_RAW_READ + 1}")
    assert (beyond.status, beyond.body["error"]["details"]["fields"][0]["field"]) == (400, "limit")


@pytest.mark.parametrize("format", ["text", "RAW", ""])
def test_another_format_is_refused_by_the_fields_name(ada: Person, workflow_id: str, format: str) -> None:
    refused = ada.get(f"/api/workflow/{workflow_id}/output?format={format}")
    assert (refused.status, refused.body["error"]["details"]["fields"][0]["field"]) == (400, "format")


def test_the_document_describes_both_answers(ada: Person) -> None:
    document = ada.get("/openapi.json").body
    described = document["paths"]["/api/workflow/{workflowId}/output"]["get"]
    answer = described["responses"]["200"]
    assert answer["content"].keys() == {"application/json", OCTETS}
    assert {name: header["schema"]["type"] for name, header in answer["headers"].items()} == {
        "X-Next-Offset": "integer",
        "X-Complete": "boolean",
    }
    parameters = {each["name"]: each["schema"] for each in described["parameters"]}
    assert (parameters["format"]["enum"], parameters["limit"]["maximum"]) == (["json", "raw"], output.MAX_RAW_READ)
    others = [each for path in document["paths"].values() for each in path.values() if each is not described]
    assert not any(OCTETS in reply.get("content", {}) for each in others for reply in each["responses"].values())
