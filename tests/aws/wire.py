"""What moto does not play: Step Functions' callbacks, ECS, and API Gateway's sockets, answered at the wire.

`Wire` stands in botocore's way just before a request would leave. It remembers what was asked, keeps the few facts
that these services keep (which tokens wait, which executions exist, which connections are open), and can be told to
refuse. Everything above it is the real client, with its own validation, serialization and retries.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from moto.core.models import botocore_stubber

CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/sandboxes"
MESSAGE_LIMIT = 128 * 1024
OVERRIDES_LIMIT = 8192

Document = dict[str, Any]


class Refusal(Exception):
    """An error of AWS's, to answer with: instead of the effect of the call or, where a reply was lost, after it."""

    def __init__(self, code: str, status: int = 400, *, after_effect: bool = False, **body: Any) -> None:
        super().__init__(code)
        self.code, self.status, self.body, self.after_effect = code, status, body, after_effect


@dataclass(frozen=True)
class Call:
    operation: str
    parameters: Document


class _Body:
    """As much of urllib3's response as botocore reads."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._data

    def read(self, *_: Any, **__: Any) -> bytes:
        return self._data


@dataclass(repr=False)
class Wire:
    calls: list[Call] = field(default_factory=list)
    seen: list[tuple[str, Document]] = field(default_factory=list)
    """All requests to DynamoDB and S3 that went through, by operation, with their parameters where these are JSON."""
    waiting: set[str] = field(default_factory=set)
    """Tokens that a state waits on. Any other is unknown."""
    executions: dict[str, str] = field(default_factory=dict)
    """Input of each execution, by its ARN."""
    ended: set[str] = field(default_factory=set)
    """Names of executions that are over: AWS refuses to start them again."""
    sandboxes: dict[str, Document] = field(default_factory=dict)
    no_room: str | None = None
    """Why ECS places no sandbox, which it says in a reply of status 200."""
    gone: set[str] = field(default_factory=set)
    """Connection ids that are open no more."""
    _refusals: dict[str, deque[Refusal]] = field(default_factory=lambda: defaultdict(deque))
    _done: set[str] = field(default_factory=set)
    """Tokens of transactions that took effect: DynamoDB does none of them twice. moto does."""
    _before: dict[str, deque[Callable[[], object]]] = field(default_factory=lambda: defaultdict(deque))

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]  # as new

    # What a test says

    def refuse(self, operation: str, code: str, status: int = 400, *, times: int = 1, **body: Any) -> None:
        """Answers the next `times` calls of `operation` with an error; DynamoDB's and S3's too."""
        self._refusals[operation].extend(Refusal(code, status, **body) for _ in range(times))

    def before(self, operation: str, act: Callable[[], object]) -> None:
        """Does `act` when the next call of `operation` is on its way: what slips in between a read and a write."""
        self._before[operation].append(act)

    def lose(self, operation: str, times: int = 1) -> None:
        """Lets the next `times` calls of `operation` take effect and loses the reply."""
        lost = [Refusal("InternalServerError", 500, after_effect=True) for _ in range(times)]
        self._refusals[operation].extend(lost)

    def let_through(self) -> None:
        """Takes back all refusals."""
        self._refusals.clear()

    # What a test asks

    @property
    def refusals_left(self) -> int:
        """How many that were prepared nobody ran into."""
        return sum(map(len, self._refusals.values()))

    def asked(self, operation: str) -> list[Document]:
        return [call.parameters for call in self.calls if call.operation == operation]

    @property
    def woken(self) -> list[str]:
        """Tokens that were completed while a state waited on them."""
        return [call["taskToken"] for call in self.asked("SendTaskSuccess") if call["accepted"]]

    @property
    def beats(self) -> list[str]:
        return [call["taskToken"] for call in self.asked("SendTaskHeartbeat")]

    def posted(self, connection_id: str | None = None) -> list[Document]:
        """Messages that reached a socket, in order."""
        return [
            json.loads(call["data"])
            for call in self.asked("PostToConnection")
            if call["accepted"] and connection_id in {None, call["connectionId"]}
        ]

    # What botocore calls

    def stand_before(self, session: boto3.Session) -> None:
        """Takes moto's place for all clients of the session: botocore asks every handler, even after an answer."""
        session.events.unregister("before-send", botocore_stubber)
        session.events.register("before-send", self)  # type: ignore[arg-type]  # an answer is allowed: see botocore

    def _moto(self, request: AWSPreparedRequest, event_name: str) -> AWSResponse | None:
        answer: AWSResponse | None = botocore_stubber(event_name=event_name, request=request)
        if answer is not None and answer.status_code < 300:
            _, service, operation = event_name.split(".")
            self.seen.append((operation, _json(request) if service == "dynamodb" else {"url": request.url}))
        return answer

    def __call__(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        while self._before[operation]:
            self._before[operation].popleft()()
        if self._refusals[operation]:
            refusal = self._refusals[operation].popleft()
            if refusal.after_effect:
                self._answered(request, event_name)
            return self._refused(request, refusal)
        return self._answered(request, event_name)

    def _answered(self, request: AWSPreparedRequest, event_name: str) -> AWSResponse | None:
        service, operation = event_name.split(".")[1:]
        if operation == "TransactWriteItems":
            return self._once(request, event_name)
        answer = getattr(self, f"_{service}_{operation}", None)
        if answer is None:
            return self._moto(request, event_name)
        try:
            body = answer(request)
        except Refusal as refusal:
            return self._refused(request, refusal)
        return _response(request, 200, body)

    def _once(self, request: AWSPreparedRequest, event_name: str) -> AWSResponse | None:
        token = _json(request)["ClientRequestToken"]
        if token in self._done:
            return _response(request, 200, {})
        answer = self._moto(request, event_name)
        if answer is not None and answer.status_code == 200:
            self._done.add(token)
        return answer

    def _refused(self, request: AWSPreparedRequest, refusal: Refusal) -> AWSResponse:
        body = {"__type": f"com.amazonaws#{refusal.code}", "message": "refused by the test", **refusal.body}
        return _response(request, refusal.status, body, {"x-amzn-ErrorType": refusal.code})

    def _record(self, operation: str, parameters: Mapping[str, Any]) -> Document:
        recorded = dict(parameters)
        self.calls.append(Call(operation, recorded))
        return recorded

    # Step Functions

    def _sfn_StartExecution(self, request: AWSPreparedRequest) -> Document:  # noqa: N802 - AWS's name, here and below
        asked = self._record("StartExecution", _json(request))
        arn = f"{asked['stateMachineArn']}:{asked['name']}"
        if asked["name"] in self.ended or self.executions.get(arn, asked["input"]) != asked["input"]:
            raise Refusal("ExecutionAlreadyExists")
        self.executions[arn] = asked["input"]
        return {"executionArn": arn, "startDate": 0}

    def _sfn_SendTaskSuccess(self, request: AWSPreparedRequest) -> Document:  # noqa: N802
        asked = self._record("SendTaskSuccess", _json(request) | {"accepted": False})
        if asked["taskToken"] not in self.waiting:
            raise Refusal("TaskTimedOut")
        self.waiting.remove(asked["taskToken"])
        asked["accepted"] = True
        return {}

    def _sfn_SendTaskHeartbeat(self, request: AWSPreparedRequest) -> Document:  # noqa: N802
        asked = self._record("SendTaskHeartbeat", _json(request))
        if asked["taskToken"] not in self.waiting:
            raise Refusal("TaskTimedOut")
        return {}

    # ECS

    def _ecs_RunTask(self, request: AWSPreparedRequest) -> Document:  # noqa: N802
        asked = self._record("RunTask", _json(request))
        assert len(json.dumps(asked["overrides"])) <= OVERRIDES_LIMIT
        if self.no_room is not None:
            return {"tasks": [], "failures": [{"reason": self.no_room}]}
        arn = f"arn:aws:ecs:us-east-1:123456789012:task/sandboxes/{asked['clientToken']}"
        before = self.sandboxes.setdefault(arn, {"asked": asked, "lastStatus": "RUNNING"})
        if before["asked"] != asked:
            raise Refusal("ConflictException")
        return {"tasks": [{"taskArn": arn, "lastStatus": "PROVISIONING"}], "failures": []}

    def _ecs_StopTask(self, request: AWSPreparedRequest) -> Document:  # noqa: N802
        asked = self._record("StopTask", _json(request))
        if asked["task"] not in self.sandboxes:
            raise Refusal("InvalidParameterException")
        return {"task": {"taskArn": asked["task"], "lastStatus": self.sandboxes[asked["task"]]["lastStatus"]}}

    def _ecs_ListTasks(self, request: AWSPreparedRequest) -> Document:  # noqa: N802
        asked = self._record("ListTasks", _json(request))
        found = [
            arn
            for arn, sandbox in self.sandboxes.items()
            if sandbox["asked"]["startedBy"] == asked["startedBy"] and sandbox["lastStatus"] == "RUNNING"
        ]
        return {"taskArns": found}

    # Sockets

    def _apigatewaymanagementapi_PostToConnection(self, request: AWSPreparedRequest) -> Document:  # noqa: N802
        data = _body(request)
        assert len(data) <= MESSAGE_LIMIT
        asked = self._record("PostToConnection", {**_place(request), "data": data, "accepted": False})
        if asked["connectionId"] in self.gone:
            raise Refusal("GoneException", 410)
        asked["accepted"] = True
        return {}

    def _apigatewaymanagementapi_DeleteConnection(self, request: AWSPreparedRequest) -> Document:  # noqa: N802
        asked = self._record("DeleteConnection", _place(request))
        self.gone.add(asked["connectionId"])
        return {}


def _json(request: AWSPreparedRequest) -> Document:
    document: Document = json.loads(_body(request))
    return document


def _body(request: AWSPreparedRequest) -> bytes:
    body = request.body
    assert isinstance(body, str | bytes | bytearray)
    return body.encode() if isinstance(body, str) else bytes(body)


def _place(request: AWSPreparedRequest) -> Document:
    address, _, connection_id = request.url.partition("/@connections/")
    return {"endpoint": address, "connectionId": unquote(connection_id)}


def _response(
    request: AWSPreparedRequest, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> AWSResponse:
    return AWSResponse(request.url, status, cast("Any", HeadersDict(headers or {})), _Body(json.dumps(body).encode()))
