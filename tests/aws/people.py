"""Who takes part in a test: people with keys, the sandboxes of their sessions, and the machines that run the steps."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from filepath import clock as layer_clock
from filepath import ids, protocol
from filepath.access import ALL_SCOPES, Scope
from filepath.aws import accounts, credits, sessions, tasks
from filepath.aws.accounts import ApiKey, User
from filepath.credit import Account
from filepath.protocol import Chunk, End, Run
from filepath.session import Session
from filepath.task import Task
from functions.workflow import handler as workflow
from tests.aws.gateway import AGENTS_API, CLIENTS_API, Answer, Invocation, Rest, Socket

if TYPE_CHECKING:
    from tests.aws.conftest import Clock
    from tests.aws.wire import Wire

_numbers = itertools.count(1)
EXITED = End("exited", 1500, exit_code=0)


@dataclass
class Platform:
    """The stack, as a whole."""

    wire: Wire
    clock: Clock
    scenes: tuple[str, ...] = ()
    """What was made of it so far by fixtures; see scenes.py."""
    left_off: tuple[int, int, int] = field(init=False)
    """The moment at which the last of them was over."""

    def __post_init__(self) -> None:
        self.left_off = self.moment

    @property
    def moment(self) -> tuple[int, int, int]:
        """How far it has come: requests, calls, and milliseconds of its clock."""
        return len(self.wire.seen), len(self.wire.calls), self.clock.now_ms - self.clock.begun_ms

    def person(self, email: str, credits_granted: int = 100) -> Person:
        """Somebody with an account and a key that may do all. (Signing up over REST costs 100 ms of argon2.)"""
        now = layer_clock.now_ms()
        user = User(ids.user_id(layer_clock.entropy()), email, email, now, "no password opens it")
        accounts.sign_up(user, credits_granted, None)
        person = Person(self, user.user_id)
        person.key = person.another_key(ALL_SCOPES)
        return person

    def anybody(self) -> Rest:
        return Rest()

    # Step Functions' part

    def enter(self, step: str, entered: int | None = None, **ids_of_it: str) -> str:
        """A machine enters a state that waits: its step is invoked with a new token. Returns the token."""
        number = next(_numbers)
        token = f"token-{number}-{step}"
        self.wire.waiting.add(token)
        self.step(step, token=token, entered=entered if entered is not None else number * 100, **ids_of_it)
        return token

    def step(self, step: str, **event: str | int) -> dict[str, Any]:
        return workflow.handle({"step": step, **event}, Invocation.context())

    def session(self, session_id: str) -> Session:
        session = sessions.get(session_id)
        assert session is not None
        return session

    def task(self, workflow_id: str) -> Task:
        task = tasks.get(workflow_id)
        assert task is not None
        return task


@dataclass
class Person:
    platform: Platform
    user_id: str
    key: str = field(default="", repr=False)

    def another_key(self, scopes: frozenset[Scope]) -> str:
        now, secret = layer_clock.now_ms(), ids.api_key(layer_clock.entropy())
        key_id = ids.key_id(layer_clock.entropy())
        accounts.create_key(ApiKey(key_id, self.user_id, "test", secret[:8], ids.hashed(secret), scopes, now), None, {})
        return secret

    @property
    def rest(self) -> Rest:
        return Rest(self.key)

    def post(self, path: str, body: dict[str, Any] | str | None = None, **options: Any) -> Answer:
        return self.rest("POST", path, body, **options)

    def get(self, path: str) -> Answer:
        return self.rest("GET", path)

    def delete(self, path: str) -> Answer:
        return self.rest("DELETE", path)

    @property
    def money(self) -> Account:
        return credits.account(self.user_id)

    def open_session(self, **body: Any) -> str:
        answer = self.post("/api/orchestrator/session", body)
        assert answer.status == 202, answer.text
        session_id: str = answer.body["sessionId"]
        return session_id

    def submit(self, session_id: str, task: str = "echo hello", **body: Any) -> str:
        answer = self.post("/api/orchestrator", {"sessionId": session_id, "task": task, **body})
        assert answer.status == 202, answer.text
        workflow_id: str = answer.body["workflowId"]
        return workflow_id

    def sandbox(self, session_id: str | None = None, **body: Any) -> Sandbox:
        """A session whose machine runs and whose sandbox was launched; its agent has not dialled yet."""
        session_id = session_id or self.open_session(**body)
        launch_token = self.platform.enter("launch_sandbox", sessionId=session_id)
        return Sandbox(self.platform, session_id, launch_token)

    def ready(self, **body: Any) -> Sandbox:
        """A session that lives: its agent has said hello, its alarm clock is wound up."""
        sandbox = self.sandbox(**body)
        sandbox.dial()
        sandbox.hello()
        sandbox.live_token = self.platform.enter("live", sessionId=sandbox.session_id)
        return sandbox

    def listen(self, **query: str) -> Socket:
        """An open socket of this person's."""
        socket = Socket(CLIENTS_API)
        assert socket.connect({"x-api-key": self.key}, query) == 200
        return socket


@dataclass
class Sandbox:
    """A session's sandbox, with the agent in it as far as the wire shows it."""

    platform: Platform
    session_id: str
    launch_token: str
    live_token: str = ""
    instance: str = "instance-1"
    socket: Socket = field(default_factory=lambda: Socket(AGENTS_API))

    @property
    def token(self) -> str:
        """As ECS handed it over."""
        (asked,) = [call for call in self.platform.wire.asked("RunTask") if call["startedBy"] == self.session_id][:1]
        variables = asked["overrides"]["containerOverrides"][0]["environment"]
        return next(str(variable["value"]) for variable in variables if variable["name"] == "FILEPATH_TOKEN")

    @property
    def task_arn(self) -> str:
        return str(self.platform.session(self.session_id).task_arn)

    def headers(self, **changed: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token}",
            "X-Filepath-Session": self.session_id,
            "X-Filepath-Instance": self.instance,
            **changed,
        }

    def dial(self) -> Socket:
        """Opens a connection, as the agent does at first and after each cut."""
        self.socket = Socket(AGENTS_API)
        assert self.socket.connect(self.headers()) == 200
        return self.socket

    def hello(self, *known: str) -> dict[str, Any]:
        return self.socket.call("hello", instance=self.instance, version="1", tasks=list(known))

    def heartbeat(self, *known: str) -> dict[str, Any]:
        return self.socket.call("heartbeat", tasks=list(known))

    def started(self, workflow_id: str) -> dict[str, Any]:
        return self.socket.call("started", workflowId=workflow_id)

    def output(self, workflow_id: str, offset: int, data: bytes, stream: protocol.Stream = "stdout") -> dict[str, Any]:
        chunk = Chunk(offset, (Run(stream, len(data)),), data)
        return self.socket.call("output", **protocol.chunk_params(workflow_id, chunk))

    def ended(self, workflow_id: str, end: End = EXITED) -> dict[str, Any]:
        return self.socket.call("ended", workflowId=workflow_id, end=end.params())

    def exit(self, workflow_id: str, output_bytes: int = 0, end: End = EXITED) -> dict[str, Any]:
        return self.socket.call("exit", workflowId=workflow_id, outputBytes=output_bytes, end=end.params())

    def posted(self, method: str | None = None) -> list[dict[str, Any]]:
        """What the platform sent to the agent's present connection."""
        messages = self.platform.wire.posted(self.socket.connection_id)
        return [message for message in messages if method in {None, message["method"]}]

    def given(self) -> list[str]:
        """Tasks that this connection was told to run."""
        return [message["params"]["workflowId"] for message in self.posted("exec")]

    def run(self, workflow_id: str) -> str:
        """The task's machine enters its waiting state. Returns the token."""
        return self.platform.enter("run_command", workflowId=workflow_id)

    def finish(self, workflow_id: str, output: bytes = b"", end: End = EXITED) -> Task:
        """The whole of an ordinary task, after its machine has given it to the sandbox."""
        self.started(workflow_id)
        if output:
            self.output(workflow_id, 0, output)
        self.exit(workflow_id, len(output), end)
        self.platform.step("settle", workflowId=workflow_id)
        return self.platform.task(workflow_id)

    def stopped(self, **container: str) -> None:
        """ECS tells that the sandbox stopped."""
        from functions.sandbox_events import handler

        handler.handle(stopped_event(self.session_id, **container), Invocation.context())


def stopped_event(session_id: str, last_status: str = "STOPPED", **container: str) -> dict[str, Any]:
    """As EventBridge brings it from ECS."""
    return {
        "version": "0",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "detail": {
            "taskArn": f"arn:aws:ecs:us-east-1:123456789012:task/sandboxes/{session_id}",
            "lastStatus": last_status,
            "desiredStatus": "STOPPED",
            "startedBy": session_id,
            "stopCode": "EssentialContainerExited",
            "stoppedReason": "Essential container in task exited",
            "containers": [{"name": "sandbox", "exitCode": 137, **container}],
        },
    }
