"""Sessions, tasks, their output and what they cost, as callers see them over REST."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from filepath import output
from filepath.aws import clients, keys, table
from filepath.protocol import End
from filepath.task import backstop_seconds
from tests.aws.conftest import Clock, template
from tests.aws.people import Person, Platform
from tests.aws.wire import Wire

SESSIONS, TASKS, EXECUTE = "/api/orchestrator/session", "/api/workflow", "/api/orchestrator"


def token_of(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode()


# Sessions


def test_a_session_is_created_starting_and_its_machine_started_with_ids_and_clocks_alone(
    ada: Person, wire: Wire
) -> None:
    answer = ada.post(SESSIONS, {"name": "build", "env": {"TOKEN": "s3cret"}, "idleTimeoutSeconds": 600})
    assert answer.status == 202
    assert answer.body["status"] == "starting"
    assert answer.body["workflowId"] == "wf_" + answer.body["sessionId"][4:]
    (started,) = wire.asked("StartExecution")
    assert started["name"] == answer.body["workflowId"]
    assert started["stateMachineArn"].endswith(":session")
    assert json.loads(started["input"]) == {
        "sessionId": answer.body["sessionId"],
        "clock": {"heartbeatSeconds": 660, "timeoutSeconds": 604_800},
        "startTimeoutSeconds": 300,
    }


def test_a_session_is_shown_with_what_it_was_created_with(ada: Person) -> None:
    session_id = ada.open_session(name="build", cpu=256, memory=512, metadata={"k": "v"})
    shown = ada.get(f"{SESSIONS}/{session_id}").body
    assert (shown["name"], shown["cpu"], shown["memory"], shown["metadata"]) == ("build", 256, 512, {"k": "v"})
    assert (shown["idleTimeoutSeconds"], shown["maxAgeSeconds"]) == (86_400, 604_800)
    assert (shown["status"], shown["reason"], shown["openTasks"]) == ("starting", None, [])
    assert shown["idleDeadline"] > shown["createdAt"]
    assert ada.get(f"{TASKS}/{shown['workflowId']}").body["kind"] == "session"
    assert ada.get(f"{TASKS}/{shown['workflowId']}/status").body["status"] == "starting"


def test_a_session_without_credits_on_the_account_is_refused_before_anything_is_written(
    platform: Platform, wire: Wire
) -> None:
    poor = platform.person("poor@example.org", credits_granted=0)
    answer = poor.post(SESSIONS)
    assert (answer.status, answer.code) == (402, "insufficient_credits")
    assert wire.asked("StartExecution") == []
    assert poor.get(SESSIONS).body["sessions"] == []


def test_sandboxes_are_counted_for_the_account_and_for_the_stack(ada: Person, bob: Person) -> None:
    for _ in range(3):
        ada.open_session()
    refused = ada.post(SESSIONS)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "quota_exceeded", "30")
    bob.open_session()
    bob.open_session()
    full = bob.post(SESSIONS)
    assert (full.status, full.code, full.headers["retry-after"]) == (429, "quota_exceeded", "60")


def test_a_closed_session_gives_its_place_back(ada: Person, platform: Platform) -> None:
    session_id = [ada.open_session() for _ in range(3)][-1]
    assert ada.delete(f"{SESSIONS}/{session_id}").status == 202
    platform.step("end_session", sessionId=session_id)
    ada.open_session()


def test_closing_writes_the_fact_and_then_wakes_the_machine_and_twice_is_fine(ada: Person, wire: Wire) -> None:
    sandbox = ada.ready()
    for _ in range(2):
        answer = ada.delete(f"{SESSIONS}/{sandbox.session_id}")
        assert answer.status == 202
        assert (answer.body["status"], answer.body["reason"]) == ("closing", "user")
    assert wire.woken.count(sandbox.live_token) == 1


def test_keeping_alive_moves_the_idle_deadline(ada: Person, clock: Clock) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=600)
    path = f"{SESSIONS}/{sandbox.session_id}"
    before = ada.get(path).body["idleDeadline"]
    clock.pass_(300)
    after = ada.post(f"{path}/keep-alive").body["idleDeadline"]
    assert after > before
    assert ada.get(path).body["idleDeadline"] == after


def test_a_session_with_open_tasks_has_no_idle_deadline(ada: Person) -> None:
    sandbox = ada.ready()
    ada.submit(sandbox.session_id)
    assert ada.post(f"{SESSIONS}/{sandbox.session_id}/keep-alive").body == {"idleDeadline": None}


def test_a_session_that_closes_is_not_kept_alive_and_takes_no_task(ada: Person) -> None:
    session_id = ada.ready().session_id
    ada.delete(f"{SESSIONS}/{session_id}")
    kept = ada.post(f"{SESSIONS}/{session_id}/keep-alive")
    submitted = ada.post(EXECUTE, {"sessionId": session_id, "task": "true"})
    assert (kept.status, kept.code) == (410, "session_closed")
    assert (submitted.status, submitted.code) == (410, "session_closed")
    assert ada.money.held == 0


def test_a_session_that_is_changed_by_others_all_the_while_is_unavailable(
    ada: Person, clock: Clock, wire: Wire
) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=60)
    clock.pass_(30)
    wire.refuse("UpdateItem", "TransactionConflictException", times=50)
    answer = ada.post(f"{SESSIONS}/{sandbox.session_id}/keep-alive")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.body["error"]["retryable"]


# Tasks


def test_a_task_is_queued_with_its_credits_held_and_its_machine_started(ada: Person, wire: Wire) -> None:
    session_id = ada.open_session()
    answer = ada.post(EXECUTE, {"sessionId": session_id, "task": "make test", "timeoutSeconds": 301})
    assert (answer.status, answer.body["status"], answer.body["sessionId"]) == (202, "queued", session_id)
    started = wire.asked("StartExecution")[-1]
    assert (started["name"], started["stateMachineArn"][-5:]) == (answer.body["workflowId"], ":task")
    assert json.loads(started["input"]) == {"workflowId": answer.body["workflowId"], "timeoutSeconds": 301 + 905}
    assert (ada.money.held, ada.money.available) == (6, 94)
    shown = ada.get(f"{TASKS}/{answer.body['workflowId']}").body
    assert (shown["task"], shown["status"], shown["creditsHeld"], shown["outputBytes"]) == ("make test", "queued", 6, 0)
    assert ada.get(f"{SESSIONS}/{session_id}").body["openTasks"] == [answer.body["workflowId"]]


def test_a_task_that_costs_more_than_there_is_is_refused_before_anything_starts(ada: Person, wire: Wire) -> None:
    session_id = ada.open_session()
    before = (len(wire.asked("StartExecution")), ada.money)
    answer = ada.post(EXECUTE, {"sessionId": session_id, "task": "true", "timeoutSeconds": 6001})
    assert (answer.status, answer.code) == (402, "insufficient_credits")
    assert answer.body["error"]["details"] == {"needed": 101, "available": 100}
    assert (len(wire.asked("StartExecution")), ada.money) == before
    assert ada.get(TASKS).body["workflows"] == []
    assert ada.get(f"{SESSIONS}/{session_id}").body["openTasks"] == []


def test_held_credits_cannot_be_spent_twice(ada: Person) -> None:
    session_id = ada.open_session()
    ada.submit(session_id, timeoutSeconds=3600)
    assert ada.post(EXECUTE, {"sessionId": session_id, "task": "true", "timeoutSeconds": 3600}).status == 402
    assert ada.money.available == 40


def test_sixteen_tasks_may_be_open_in_a_session_and_no_more(ada: Person) -> None:
    session_id = ada.open_session()
    for _ in range(16):
        ada.submit(session_id, timeoutSeconds=1)
    answer = ada.post(EXECUTE, {"sessionId": session_id, "task": "true", "timeoutSeconds": 1})
    assert (answer.status, answer.code) == (429, "quota_exceeded")
    assert answer.headers["retry-after"] == "5"
    assert ada.money.held == 16


@pytest.mark.parametrize(
    ("operation", "code", "status"),
    [
        ("StartExecution", "ServiceUnavailable", 503),
        ("UpdateItem", "TransactionConflictException", 400),
        ("SendTaskHeartbeat", "ThrottlingException", 400),
    ],
)
def test_a_task_that_was_written_is_accepted_whatever_fails_afterwards(
    ada: Person, wire: Wire, clock: Clock, operation: str, code: str, status: int
) -> None:
    """Or the caller would send it again, and pay for two."""
    sandbox = ada.ready()
    clock.pass_(100_000)
    wire.refuse(operation, code, status, times=50)
    ada.submit(sandbox.session_id)
    assert wire.refusals_left < 50
    assert ada.money.held == 5


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("task", "", 400),
        ("task", None, 400),
        ("task", "echo \0", 400),
        ("task", "x" * (1024 * 1024 + 1), 413),
        ("stdin", "x" * (5 * 1024 * 1024 + 1), 413),
        ("timeoutSeconds", 0, 400),
        ("timeoutSeconds", 86_401, 400),
        ("timeoutSeconds", "300", 400),
        ("cwd", "", 400),
        ("metadata", {"k": "x" * 5000}, 413),
        ("tty", True, 400),
    ],
)
def test_a_task_out_of_bounds_is_refused(ada: Person, field: str, value: object, status: int) -> None:
    session_id = ada.open_session()
    answer = ada.post(EXECUTE, {"sessionId": session_id, "task": "true", field: value})
    assert answer.status == status, answer.text[:200]
    assert field in answer.body["error"]["message"]
    assert ada.money.held == 0


def test_large_inputs_go_to_the_bucket_and_reach_the_sandbox_by_a_signed_address(ada: Person) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id, "cat", stdin="x" * 20_000, env={"A": "b"})
    sandbox.run(workflow_id)
    (given,) = sandbox.posted("exec")
    assert (given["params"]["command"], given["params"]["stdin"]) == ("", None)
    assert f"inputs/{workflow_id}.json?" in given["params"]["inputsUrl"]
    stored = clients.s3().get_object(Bucket="filepath-objects", Key=f"inputs/{workflow_id}.json")["Body"].read()
    assert json.loads(stored) == {"command": "cat", "env": {"A": "b"}, "cwd": None, "stdin": "x" * 20_000}
    assert ada.get(f"{TASKS}/{workflow_id}").body["task"] == "cat"


@pytest.mark.parametrize(
    ("reason", "code"), [("poor", "insufficient_credits"), ("closing", "session_closed"), ("full", "quota_exceeded")]
)
def test_large_inputs_of_a_refused_task_are_not_kept(ada: Person, wire: Wire, reason: str, code: str) -> None:
    session_id = ada.open_session()
    if reason == "closing":
        ada.delete(f"{SESSIONS}/{session_id}")
    for _ in range(16 if reason == "full" else 0):
        ada.submit(session_id, timeoutSeconds=1)
    timeout = 86_400 if reason == "poor" else 1
    large = {"sessionId": session_id, "task": "cat", "stdin": "x" * 20_000, "timeoutSeconds": timeout}
    answer, small = ada.post(EXECUTE, large), ada.post(EXECUTE, {**large, "stdin": ""})
    assert answer.code == small.code == code
    assert answer.body["error"]["message"] == small.body["error"]["message"]
    assert "PutObject" not in [operation for operation, _ in wire.seen]


def test_a_task_runs_to_its_end_and_is_charged_for_what_it_ran(ada: Person, platform: Platform) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id, "make", timeoutSeconds=300)
    token = sandbox.run(workflow_id)
    task = sandbox.finish(workflow_id, b"hello\n", End("exited", 61_000, exit_code=2))
    assert platform.wire.woken[-1] == token
    assert (task.status, task.exit_code, task.charged) == ("completed", 2, 2)
    shown = ada.get(f"{TASKS}/{workflow_id}/status").body
    assert (shown["exitCode"], shown["signal"], shown["creditsCharged"], shown["outputBytes"]) == (2, None, 2, 6)
    assert ada.get("/api/credits").body == {
        "balance": 98,
        "held": 0,
        "available": 98,
        "granted": 100,
        "charged": 2,
    }


def test_a_task_never_started_costs_nothing(ada: Person, platform: Platform) -> None:
    session_id = ada.open_session()
    workflow_id = ada.submit(session_id)
    answer = ada.post(f"{TASKS}/{workflow_id}/cancel")
    assert answer.status == 202
    platform.step("settle", workflowId=workflow_id)
    shown = ada.get(f"{TASKS}/{workflow_id}").body
    assert (shown["status"], shown["creditsCharged"], shown["exitCode"]) == ("cancelled", 0, None)
    assert (ada.money.available, ada.money.charged) == (100, 0)


def test_cancelling_what_is_over_leaves_it_as_it_ended(ada: Person) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id)
    answer = ada.post(f"{TASKS}/{workflow_id}/cancel", {"signal": "KILL"})
    assert (answer.status, answer.body["status"]) == (202, "completed")
    assert sandbox.posted("signal") == []


def test_the_ledger_has_a_line_for_whatever_moved_the_balance(ada: Person) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id)
    lines = list(table.query_all(keys.user_partition(ada.user_id), prefix="LEDGER#"))
    assert [(line["kind"], line["credits"]) for line in lines] == [("grant", 100), ("charge", -1)]
    assert sum(line["credits"] for line in lines) == ada.money.balance
    assert lines[-1]["reference"] == workflow_id


# Lists


def test_sessions_are_listed_newest_first_page_by_page(ada: Person) -> None:
    made = [ada.open_session(name=str(number)) for number in range(3)]
    first = ada.get(f"{SESSIONS}?limit=2").body
    second = ada.get(f"{SESSIONS}?limit=2&nextToken={first['nextToken']}").body
    listed = [session["sessionId"] for page in (first, second) for session in page["sessions"]]
    assert listed == made[::-1]
    assert second["nextToken"] is None


@pytest.mark.parametrize("of_session", [False, True])
def test_tasks_are_listed_newest_first_page_by_page(ada: Person, of_session: bool) -> None:
    session_id = ada.open_session()
    made = [ada.submit(session_id, timeoutSeconds=1) for _ in range(5)]
    path = f"{TASKS}?limit=2" + (f"&sessionId={session_id}" if of_session else "")
    listed, token = [], ""
    for _ in range(3):
        page = ada.get(path + (f"&nextToken={token}" if token else "")).body
        listed += [task["workflowId"] for task in page["workflows"]]
        token = page["nextToken"]
    assert listed == made[::-1]
    assert token is None


def test_a_list_by_status_shows_those_alone_and_goes_on_to_the_end(ada: Person, platform: Platform) -> None:
    session_id = ada.open_session()
    made = [ada.submit(session_id, timeoutSeconds=1) for _ in range(3)]
    ada.post(f"{TASKS}/{made[1]}/cancel")
    platform.step("settle", workflowId=made[1])
    queued = ada.get(f"{TASKS}?status=queued").body["workflows"]
    assert [task["workflowId"] for task in queued] == [made[2], made[0]]
    cancelled = ada.get(f"{TASKS}?status=cancelled&sessionId={session_id}").body["workflows"]
    assert [task["workflowId"] for task in cancelled] == [made[1]]
    assert ada.get(f"{SESSIONS}?status=closed").body["sessions"] == []


@pytest.mark.parametrize(
    "forged",
    ["x", "%F0%9F", "====", token_of("hello"), token_of("ses_short"), token_of("1~2~3"), token_of("wf_" + "0" * 32)],
)
def test_a_next_token_that_no_list_gave_is_refused(ada: Person, forged: str) -> None:
    session_id = ada.open_session()
    for path in (f"{SESSIONS}?", f"{TASKS}?", f"{TASKS}?sessionId={session_id}&"):
        answer = ada.get(f"{path}nextToken={forged}")
        assert (answer.status, answer.code) == (400, "invalid_request"), (path, answer.text)


def test_a_next_token_of_one_list_opens_no_other(ada: Person, bob: Person) -> None:
    theirs = bob.open_session()
    for _ in range(2):
        bob.submit(theirs, timeoutSeconds=1)
    token = bob.get(f"{TASKS}?limit=1").body["nextToken"]
    assert ada.get(f"{TASKS}?nextToken={token}").body["workflows"] == []
    mine = ada.open_session()
    within = bob.get(f"{TASKS}?limit=1&sessionId={theirs}").body["nextToken"]
    assert ada.get(f"{TASKS}?sessionId={mine}&nextToken={within}").status == 400


# Output


def test_output_is_read_from_any_offset_while_the_task_runs_and_after(ada: Person) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    path = f"{TASKS}/{workflow_id}/output"
    assert ada.get(path).body == {"chunks": [], "nextOffset": 0, "complete": False}
    sandbox.output(workflow_id, 0, b"out ")
    sandbox.output(workflow_id, 4, b"err ", "stderr")
    assert ada.get(f"{path}?after=2").body == {
        "chunks": [
            {"offset": 2, "stream": "stdout", "data": "t ", "encoding": "utf-8"},
            {"offset": 4, "stream": "stderr", "data": "err ", "encoding": "utf-8"},
        ],
        "nextOffset": 8,
        "complete": False,
    }
    assert ada.get(f"{path}?stream=stderr").body["chunks"][0]["offset"] == 4
    assert ada.get(f"{path}?limit=3").body["nextOffset"] == 3
    assert ada.get(f"{TASKS}/{workflow_id}/status").body["outputBytes"] == 8
    sandbox.output(workflow_id, 8, b"\xff")
    sandbox.exit(workflow_id, 9)
    sandbox.platform.step("settle", workflowId=workflow_id)
    rest = ada.get(f"{path}?after=8").body
    assert rest["chunks"] == [{"offset": 8, "stream": "stdout", "data": "/w==", "encoding": "base64"}]
    assert (rest["nextOffset"], rest["complete"]) == (9, True)
    assert ada.get(f"{path}?limit=8").body["complete"] is False


def test_large_output_is_read_back_whole_in_bounded_parts(ada: Person) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    data = bytes(range(32, 127)) * 1800
    for offset in range(0, len(data), 80_000):
        sandbox.output(workflow_id, offset, data[offset : offset + 80_000])
    read, after = "", 0
    while after < len(data):
        page = ada.get(f"{TASKS}/{workflow_id}/output?after={after}&limit=50000").body
        assert page["nextOffset"] - after <= 50_000
        read += "".join(chunk["data"] for chunk in page["chunks"])
        after = page["nextOffset"]
    assert read.encode() == data


def test_a_limit_over_the_largest_read_is_refused(ada: Person) -> None:
    workflow_id = ada.submit(ada.open_session())
    assert ada.get(f"{TASKS}/{workflow_id}/output?limit={output.MAX_READ + 1}").status == 400
    assert ada.get(f"{TASKS}/{workflow_id}/output?limit={output.MAX_READ}").status == 200


# What was kept for its time


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/status"), ("GET", "/output"), ("POST", "/cancel")])
def test_a_task_whose_time_is_over_is_not_found_though_the_table_still_has_it(
    ada: Person, clock: Clock, method: str, path: str
) -> None:
    """DynamoDB's own deletion lags by days."""
    workflow_id = ada.submit(ada.open_session())
    clock.pass_(30 * 24 * 3600 - 60)
    assert ada.rest(method, f"{TASKS}/{workflow_id}{path}").status in {200, 202}
    clock.pass_(61)
    answer = ada.rest(method, f"{TASKS}/{workflow_id}{path}")
    assert (answer.status, answer.code) == (404, "not_found")
    assert ada.platform.task(workflow_id).workflow_id == workflow_id


def test_what_the_bucket_has_deleted_is_not_found(ada: Person) -> None:
    """It counts in days of its own."""
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id, "cat", stdin="x" * 20_000)
    sandbox.run(workflow_id)
    sandbox.output(workflow_id, 0, b"x" * 20_000)
    paths = (f"{TASKS}/{workflow_id}", f"{TASKS}/{workflow_id}/output")
    assert [ada.get(path).status for path in paths] == [200, 200]
    for stored in clients.s3().list_objects_v2(Bucket="filepath-objects")["Contents"]:
        clients.s3().delete_object(Bucket="filepath-objects", Key=stored["Key"])
    for answer in map(ada.get, paths):
        assert (answer.status, answer.code) == (404, "not_found")


def test_the_shortest_retention_outlives_the_longest_task(
    platform: Platform, configure: Callable[..., None], clock: Clock
) -> None:
    """What is kept of a task counts from its beginning: let go while it runs, nothing could ever end its hold."""
    configure(RETENTION_DAYS=str(template()["Parameters"]["RetentionDays"]["MinValue"]))
    rich = platform.person("rich@example.org", credits_granted=2000)
    sandbox = rich.ready()
    workflow_id = rich.submit(sandbox.session_id, timeoutSeconds=86_400)
    clock.pass_(backstop_seconds(86_400))
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id, b"at last")
    assert rich.get(f"{TASKS}/{workflow_id}/output").body["chunks"][0]["data"] == "at last"


# Tickets


def test_a_ticket_tells_where_the_socket_is_and_until_when_it_opens_it(ada: Person) -> None:
    made = ada.post("/api/socket-ticket").body
    assert made["url"] == "wss://clientsapi.execute-api.us-east-1.amazonaws.com/v1"
    assert made["ticket"].startswith("fpk_")
