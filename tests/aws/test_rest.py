"""The REST door: what it refuses, in which words, and the document that describes it."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from filepath.operations import registry
from tests.aws.gateway import Rest
from tests.aws.people import Person, Platform
from tests.aws.wire import Wire

SESSION = "/api/orchestrator/session"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("PUT", "/api/health", 400, "invalid_request"),
        ("DELETE", "/api/credits", 400, "invalid_request"),
    ],
)
def test_what_no_route_takes_is_refused_in_the_envelope(
    platform: Platform, method: str, path: str, status: int, code: str
) -> None:
    answer = platform.anybody()(method, path)
    assert (answer.status, answer.code) == (status, code)


def test_health_needs_no_credential(platform: Platform) -> None:
    answer = platform.anybody()("GET", "/api/health")
    assert (answer.status, answer.body["status"]) == (200, "ok")


@pytest.mark.parametrize("body", [None, "", " \n", "{}"])
def test_an_empty_body_is_fine_where_nothing_is_required(ada: Person, body: str | None) -> None:
    assert ada.post(SESSION, body).status == 202


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "null",
        '"text"',
        "NaN",
        '{"cpu": NaN}',
        '{"cpu": 1e999}',
        '{"name": "\\ud800"}',
        "[" * 50_000,
        '{"metadata": ' + '{"a":' * 900 + "1" + "}" * 901,
        '{"cpu": ' + "9" * 5000 + "}",
        "\x00",
        '{"name": "a", "name": "b"}',
        '{"metadata": {"k": "1", "k": "2"}}',
    ],
)
def test_a_body_that_is_no_json_object_is_refused(ada: Person, body: str) -> None:
    answer = ada.post(SESSION, body)
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unknown", 1),
        ("creditLimit", 5),
        ("name", 5),
        ("name", ""),
        ("name", "x" * 129),
        ("cpu", "1024"),
        ("cpu", 1000),
        ("cpu", True),
        ("cpu", 1024.0),
        ("memory", 1024),
        ("memory", 999_999),
        ("env", []),
        ("env", {"A": 1}),
        ("env", {"1A": "x"}),
        ("env", {"A=B": "x"}),
        ("env", {"A": "x\0y"}),
        ("idleTimeoutSeconds", 0),
        ("maxAgeSeconds", 59),
        ("metadata", {"k": None}),
        ("metadata", {"": "x"}),
        ("sessionId", "ses_" + "0" * 20),
        ("idle_timeout_seconds", 60),
    ],
)
def test_a_field_that_is_unknown_of_a_wrong_type_or_out_of_bounds_is_refused(
    ada: Person, wire: Wire, field: str, value: Any
) -> None:
    answer = ada.post(SESSION, {field: value})
    assert (answer.status, answer.code) == (400, "invalid_request"), answer.text
    assert field in answer.text
    assert wire.asked("StartExecution") == []


def test_an_error_of_a_field_never_shows_its_value(ada: Person) -> None:
    answer = ada.post(SESSION, {"env": {"TOKEN": ["s3cret"]}, "name": 17_291})
    assert answer.status == 400
    assert "s3cret" not in answer.text
    assert "17291" not in answer.text
    assert {problem["field"] for problem in answer.body["error"]["details"]["fields"]} == {"env.TOKEN", "name"}


def test_an_environment_that_is_too_large_is_too_large(ada: Person) -> None:
    answer = ada.post(SESSION, {"env": {"A": "x" * 70_000}})
    assert (answer.status, answer.code) == (413, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", SESSION + "?unknown=1", None),
        ("GET", SESSION + "?limit=0", None),
        ("GET", SESSION + "?limit=many", None),
        ("GET", SESSION + "?limit=1&limit=2", None),
        ("GET", SESSION + "?status=open", None),
        ("GET", SESSION + "/ses_short", None),
        ("GET", SESSION + "/ses_" + "0" * 20 + "?sessionId=ses_" + "0" * 20, None),
        ("GET", SESSION, {"limit": 5}),
        ("POST", SESSION + "?name=x", {}),
        ("POST", SESSION + "/ses_" + "0" * 20 + "/keep-alive", {"sessionId": "ses_" + "0" * 20}),
        ("GET", "/api/workflow/wf_short", None),
        ("GET", "/api/workflow/wf_" + "0" * 32 + "/output?after=-1", None),
        ("GET", "/api/workflow/wf_" + "0" * 32 + "/output?after=" + "9" * 15, None),
        ("GET", "/api/workflow/wf_" + "0" * 32 + "/output?after=" + "9" * 5000, None),
        ("GET", "/api/workflow/wf_" + "0" * 32 + "/output?format=text", None),
        ("GET", "/api/workflow/wf_" + "0" * 32 + "/output?stream=stdin", None),
    ],
)
def test_nothing_in_a_request_is_ignored(ada: Person, method: str, path: str, body: Any) -> None:
    answer = ada.rest(method, path, body)
    assert (answer.status, answer.code) == (400, "invalid_request"), answer.text


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_an_idempotency_key_out_of_bounds_is_refused(ada: Person, key: str) -> None:
    assert ada.post(SESSION, {}, idempotency_key=key).status == 400


def test_an_idempotency_key_on_a_call_that_creates_nothing_is_refused(ada: Person) -> None:
    assert ada.post("/api/socket-ticket", idempotency_key="k").status == 400


def test_a_busy_aws_is_told_as_unavailable_and_to_be_tried_again(ada: Person, wire: Wire) -> None:
    wire.refuse("GetItem", "ProvisionedThroughputExceededException", times=50)
    answer = ada.get("/api/credits")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.body["error"]["retryable"]
    assert answer.headers["retry-after"] == "1"


def test_a_fault_of_ours_tells_nothing_internal(ada: Person, wire: Wire) -> None:
    wire.refuse("GetItem", "AccessDeniedException", times=50)
    answer = ada.get("/api/credits")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "AccessDenied" not in answer.text


# The document


@pytest.fixture
def document(platform: Platform) -> dict[str, Any]:
    answer = platform.anybody()("GET", "/openapi.json")
    assert answer.status == 200
    return answer.body


def test_the_page_and_the_document_work_wherever_the_stage_puts_them(
    platform: Platform, document: dict[str, Any]
) -> None:
    """API Gateway has the stage in the path, the local door has not: nothing may be absolute."""
    page = platform.anybody()("GET", "/docs")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert re.findall(r"url: '([^']*)'", page.text) == ["openapi.json"]
    assert document["servers"] == [{"url": "./"}]


def test_the_document_describes_every_operation_and_no_other(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path): entry["operationId"]
        for path, methods in document["paths"].items()
        for method, entry in methods.items()
    }
    expected = {(entry.method, entry.path): entry.rpc_name for entry in registry.operations().values()}
    assert described == expected


def test_every_operation_of_the_document_says_its_success_its_refusals_and_its_parameters(
    document: dict[str, Any],
) -> None:
    for entry in registry.operations().values():
        described = document["paths"][entry.path][entry.method.lower()]
        assert described["summary"]
        assert str(entry.status) in described["responses"]
        assert {str(error.status) for error in entry.errors} <= described["responses"].keys()
        assert ("401" in described["responses"]) == (not entry.public or 401 in {e.status for e in entry.errors})
        named = {parameter["name"] for parameter in described.get("parameters", ())}
        named |= set(_body_of(described).get("properties", {}))
        outside = entry.input.model_json_schema().get("properties", {}).keys()
        assert named == outside | ({"Idempotency-Key"} if entry.creates else set())


def _body_of(described: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = (
        described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    )
    return schema


def test_every_reference_in_the_document_leads_somewhere_and_every_schema_is_one(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for text in json.dumps(document).split('"$ref": "')[1:]:
        reference = text.partition('"')[0]
        assert reference.startswith("#/components/schemas/")
        assert reference.rpartition("/")[2] in schemas
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_answers_are_what_the_document_says(ada: Person, document: dict[str, Any]) -> None:
    session_id = ada.open_session()
    workflow_id = ada.submit(session_id)
    answers = {
        ("/api/orchestrator/session/{sessionId}", "get"): ada.get(f"{SESSION}/{session_id}"),
        ("/api/orchestrator/session", "get"): ada.get(SESSION),
        ("/api/workflow/{workflowId}", "get"): ada.get(f"/api/workflow/{workflow_id}"),
        ("/api/workflow", "get"): ada.get("/api/workflow"),
        ("/api/credits", "get"): ada.get("/api/credits"),
        ("/api/auth/get-session", "get"): ada.get("/api/auth/get-session"),
        ("/api/socket-ticket", "post"): ada.post("/api/socket-ticket"),
    }
    for (path, method), answer in answers.items():
        responses = document["paths"][path][method]["responses"]
        schema = responses[str(answer.status)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.body, {**schema, "components": document["components"]})


def test_an_error_is_what_the_document_says(platform: Platform, document: dict[str, Any]) -> None:
    answer = Rest()("GET", "/api/credits")
    jsonschema.validate(answer.body, document["components"]["schemas"]["Error"])
