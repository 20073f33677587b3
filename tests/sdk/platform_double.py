"""The platform as a caller meets it: REST and the clients' socket on real ports, commands as real processes.

It keeps to the contract and does nothing durably. What a network, API Gateway or a slow table may do to a
caller is asked for by name: replies that fail or are lost, events omitted, doubled and overtaken, sockets cut.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from filepath_sdk import protocol
from filepath_sdk.protocol import Stream

KEY = "fp_of_the_tests"
LARGEST_EVENT = 16 * 1024
AT = "2026-11-22T20:00:00Z"
Json = dict[str, Any]


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str = "…", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict[str, str]()
        self.body = {"error": {"code": code, "message": message, "requestId": "req-1", "retryable": retryable}}


@dataclass
class Faults:
    """What becomes of events on their way, each with its probability. Terminal ones get through."""

    seed: int = 0
    omit: float = 0.0
    double: float = 0.0
    overtake: float = 0.0
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 -- a test repeats by its seed

    def strike(self, probability: float) -> bool:
        return self.chance.random() < probability


@dataclass
class Log:
    """A task: its process, and its output as one sequence of bytes."""

    workflow_id: str
    session_id: str
    command: str
    status: str = "queued"
    pieces: list[tuple[int, Stream, bytes]] = field(default_factory=list)
    size: int = 0
    exit_code: int | None = None
    signal: str | None = None
    progress: float | None = None
    cancelled: bool = False
    stdin: bytearray | None = None
    """Where it was submitted with `stdinOpen`."""
    stdin_closed: bool = False
    charged: int | None = None
    reason: str | None = None
    message: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def shown(self) -> Json:
        over = self.status in ("completed", "cancelled", "lost", "timed_out", "failed")
        return {
            "workflowId": self.workflow_id,
            "sessionId": self.session_id,
            "status": self.status,
            "progress": self.progress,
            "message": self.message,
            "exitCode": self.exit_code,
            "signal": self.signal,
            "reason": self.reason,
            "creditsCharged": self.charged,
            "outputBytes": self.size if over else None,
            "startedAt": AT,
            "finishedAt": AT if over else None,
        }


class HttpServer(ThreadingHTTPServer):
    request_queue_size = 256
    """Many callers may come at once."""


class Platform:
    """`with Platform() as platform:` serves on `platform.url` and `platform.socket_url`."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []
        self.keys_seen: list[str | None] = []
        self.fail_next: list[tuple[int, dict[str, str]]] = []
        """Replies given in place of doing what is asked."""
        self.lose_next = 0
        """Replies that are lost after what was asked has been done."""
        self.hold_replies = threading.Event()
        """While it is clear, what is asked is done, and answered later."""
        self.hold_replies.set()
        self.refuse_sockets: int | None = None
        self.refuse_once: int | None = None
        self.sockets_opened = 0
        self.most_sockets = 0
        """At one time."""
        self.health_asked = threading.Event()
        self.sessions: dict[str, Json] = {}
        self.tasks: dict[str, Log] = {}
        self.periods: list[tuple[str | None, str | None]] = []
        self.users: dict[str, str] = {}
        self.keys: dict[str, Json] = {}
        self.first_answers: dict[str, tuple[Json, Json]] = {}
        self._lock = threading.RLock()
        self._attended = threading.Condition(self._lock)
        self._admitted = 0
        self._connections: dict[ServerConnection, list[str]] = {}
        self._workers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._home = tempfile.TemporaryDirectory()
        self._http = HttpServer(("127.0.0.1", 0), _handler(self))
        self._sockets: Server = serve(self._attend, "127.0.0.1", 0, process_request=self._admit, compression=None)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.socket_url = f"ws://127.0.0.1:{self._sockets.socket.getsockname()[1]}/socket"
        self._work(lambda: self._http.serve_forever(poll_interval=0.02))
        self._work(self._sockets.serve_forever)
        return self

    def __exit__(self, *_: object) -> None:
        for task in self.tasks.values():
            self._kill(task, signal.SIGKILL)
        self._http.shutdown()
        self._http.server_close()
        self._sockets.shutdown()
        self.cut_sockets()
        for worker in self._workers:
            worker.join(5)
        self._home.cleanup()

    def _work(self, target: Callable[[], object]) -> None:
        worker = threading.Thread(target=target, daemon=True)
        self._workers.append(worker)
        worker.start()

    # The clients' socket

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        refused, self.refuse_once = self.refuse_sockets or self.refuse_once, None
        if refused is not None:
            return connection.respond(refused, '{"message": "Forbidden"}')
        if request.headers.get("x-api-key") != KEY and "ticket=" not in request.path:
            return connection.respond(401, '{"message": "Unauthorized"}')
        with self._lock:
            self._admitted += 1
        return None

    def _attend(self, connection: ServerConnection) -> None:
        with self._lock:
            self.sockets_opened += 1
            self._connections[connection] = []
            self.most_sockets = max(self.most_sockets, len(self._connections))
            self._attended.notify_all()
        with contextlib.suppress(ConnectionClosed):
            for text in connection:
                message = protocol.parse(str(text))
                if isinstance(message, protocol.Request) and message.method == "getHealth":
                    self.health_asked.set()
                    connection.send(protocol.success(message.id, {"status": "ok"}))
        with self._lock:
            self._connections.pop(connection, None)

    def cut_sockets(self) -> None:
        """As a network does it: without a word."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)

    def open_sockets(self) -> int:
        with self._lock:
            return len(self._connections)

    def tell(self, params: Json) -> None:
        """Post an event to every connection, as the faults will have it."""
        text = protocol.notification("progress", params)
        last = "outputBytes" in params
        with self._lock:
            for connection, overtaken in list(self._connections.items()):
                for one in self._on_its_way(text, overtaken, last=last):
                    with contextlib.suppress(ConnectionClosed, OSError):
                        connection.send(one)

    def _on_its_way(self, text: str, overtaken: list[str], *, last: bool) -> Iterator[str]:
        if not last and self.faults.strike(self.faults.omit):
            return
        if not last and self.faults.strike(self.faults.overtake):
            overtaken.append(text)
            return
        yield text
        if self.faults.strike(self.faults.double):
            yield text
        yield from overtaken
        overtaken.clear()

    # Tasks

    def write(self, task: Log, stream: Stream, data: bytes) -> None:
        with self._lock:
            offset = task.size
            task.pieces.append((offset, stream, data))
            task.size += len(data)
            params = {"type": "output", "stream": stream, "offset": offset, "bytes": len(data)}
            params.update(self._event(task))
            if len(data) <= LARGEST_EVENT:
                params["data"], params["encoding"] = protocol.text_or_base64(data)
            self.tell(params)

    def end(self, task: Log, exit_code: int | None, signal_name: str | None = None) -> None:
        with self._lock:
            task.exit_code, task.signal, task.charged = exit_code, signal_name, 1
            task.status = "cancelled" if task.cancelled else "completed"
            known = {name: value for name, value in task.shown().items() if value is not None}
            self.tell({"type": "status", **self._event(task), **known})

    def never_start(self, task: Log, message: str) -> None:
        with self._lock:
            task.status, task.reason, task.message, task.charged = "failed", "not_started", message, 0
            known = {name: value for name, value in task.shown().items() if value is not None}
            self.tell({"type": "status", **self._event(task), **known})

    def _event(self, task: Log) -> Json:
        return {"workflowId": task.workflow_id, "sessionId": task.session_id, "status": task.status, "at": AT}

    def _execute(self, task: Log, body: Json) -> None:
        place = Path(self._home.name) / task.session_id
        place.mkdir(exist_ok=True)
        process = subprocess.Popen(
            ["/bin/bash", "-c", task.command],
            cwd=place,
            env={"PATH": os.environ["PATH"], **self.sessions[task.session_id]["env"], **body.get("env", {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with self._lock:
            task.process, task.status = process, "running"
            self.tell({"type": "status", **self._event(task)})
        with process:
            streams: tuple[tuple[Stream, Any], ...] = (("stdout", process.stdout), ("stderr", process.stderr))
            readers = [threading.Thread(target=self._drain, args=(task, *one)) for one in streams]
            for reader in readers:
                reader.start()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(body.get("stdin", "").encode())  # type: ignore[union-attr]
                process.stdin.close()  # type: ignore[union-attr]
            for reader in readers:
                reader.join()
            code = process.wait()
        self.end(task, code if code >= 0 else None, signal.Signals(-code).name[3:] if code < 0 else None)

    def _drain(self, task: Log, stream: Stream, pipe: Any) -> None:
        while data := os.read(pipe.fileno(), 65536):
            self.write(task, stream, data)

    def _kill(self, task: Log, number: signal.Signals) -> None:
        if task.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(task.process.pid, number)

    # REST: each takes (query, body) and returns the reply

    def answer(self, method: str, path: str, headers: Any, query: Json, body: Json) -> Json:
        parts = path.strip("/").split("/")
        name = f"{method.lower()}_{'_'.join(part for part in parts[1:] if '_' not in part)}".replace("-", "_")
        ids = [part for part in parts if "_" in part]
        operation = getattr(self, name.replace("get_auth", "auth"), None)
        if operation is None:
            raise Refusal(404, "not_found", f"there is no {method} {path}")
        if not name.startswith(("post_auth_sign_up", "post_auth_sign_in", "get_health")):
            self._authenticate(headers)
        key = headers.get("idempotency-key")
        if key in self.first_answers:
            first_body, first_answer = self.first_answers[key]
            if first_body != body:
                raise Refusal(409, "conflict")
            return first_answer
        answer: Json = operation(*ids, query, body)
        if key:
            self.first_answers[key] = (body, answer)
        return answer

    def _authenticate(self, headers: Any) -> None:
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if given not in (KEY, "token-1", *(key["key"] for key in self.keys.values())):
            raise Refusal(401, "unauthenticated", "The key is not known. Create one.")

    def post_auth_sign_up_email(self, _: Json, body: Json) -> Json:
        if body["email"] in self.users:
            raise Refusal(409, "conflict", "The address is taken. Sign in, or use another one.")
        self.users[body["email"]] = body["password"]
        return self.post_auth_sign_in_email(_, body)

    def post_auth_sign_in_email(self, _: Json, body: Json) -> Json:
        if self.users.get(body["email"]) != body["password"]:
            raise Refusal(401, "unauthenticated", "Address or password is wrong.")
        return {
            "token": "token-1",
            "user": {"id": "usr_1", "email": body["email"], "name": "x", "createdAt": AT},
        }

    def post_auth_sign_out(self, _: Json, __: Json) -> Json:
        return {}

    def post_auth_api_key_create(self, _: Json, body: Json) -> Json:
        number = len(self.keys) + 1
        scopes = body.get("scopes", ["tasks:write"])
        key = {
            "id": f"key_{number}",
            "key": f"fp_{number}",
            "name": body["name"],
            "start": "fp_",
        }
        self.keys[key["id"]] = {**key, "scopes": scopes, "expiresAt": None, "createdAt": AT}
        return self.keys[key["id"]]

    def get_auth_api_key_list(self, _: Json, __: Json) -> Json:
        return {"keys": [{**key, "key": None} for key in self.keys.values()]}

    auth_api_key_list = get_auth_api_key_list

    def post_auth_api_key_delete(self, _: Json, body: Json) -> Json:
        if self.keys.pop(body["keyId"], None) is None:
            raise Refusal(404, "not_found")
        return {}

    def post_orchestrator_session(self, _: Json, body: Json) -> Json:
        session_id = f"ses_{len(self.sessions) + 1}"
        self.sessions[session_id] = {
            "sessionId": session_id,
            "status": "ready",
            "env": body.get("env", {}),
            **body,
        }
        return {"sessionId": session_id, "workflowId": f"wf_{session_id[4:]}", "status": "starting"}

    def get_orchestrator_session(self, *arguments: Any) -> Json:
        if isinstance(arguments[0], str):
            return self._session(arguments[0])
        query, start = arguments[0], int(arguments[0].get("nextToken", 0))
        end = start + int(query.get("limit", 2))
        rows = list(self.sessions.values())
        return {"sessions": rows[start:end], "nextToken": str(end) if end < len(rows) else None}

    def delete_orchestrator_session(self, session_id: str, _: Json, __: Json) -> Json:
        self._session(session_id)["status"] = "closing"
        for task in self.tasks.values():
            if task.session_id == session_id and task.status == "running":
                task.cancelled = True
                self._kill(task, signal.SIGKILL)
        return {}

    def post_orchestrator_session_keep_alive(self, session_id: str, _: Json, __: Json) -> Json:
        return {"idleDeadline": AT, "sessionId": self._session(session_id)["sessionId"]}

    def _session(self, session_id: str) -> Json:
        if session_id not in self.sessions:
            raise Refusal(404, "not_found", f"There is no session {session_id}.")
        return self.sessions[session_id]

    def post_orchestrator(self, _: Json, body: Json) -> Json:
        if self._session(body["sessionId"])["status"] != "ready":
            raise Refusal(410, "session_closed", "The session is closed. Create another one.")
        with self._attended:  # the platform knows a connection before its caller does
            self._attended.wait_for(lambda: self.sockets_opened >= self._admitted, 5)
        task = Log(f"wf_{len(self.tasks) + 1}", body["sessionId"], body["task"])
        task.stdin = bytearray() if body.get("stdinOpen") else None
        self.tasks[task.workflow_id] = task
        if not body["task"].startswith("#"):  # a comment is a task that the test plays itself
            self._work(lambda: self._execute(task, body))
        return {"workflowId": task.workflow_id, "sessionId": task.session_id, "status": "queued"}

    def get_workflow(self, *arguments: Any) -> Json:
        if isinstance(arguments[0], str):
            task = self._task(arguments[0])
            return {**task.shown(), "task": task.command}
        wanted = arguments[0].get("sessionId")
        rows = [
            {**task.shown(), "task": task.command, "createdAt": AT}
            for task in reversed(self.tasks.values())
            if wanted in (None, task.session_id)
        ]
        return {"workflows": rows, "nextToken": None}

    def get_workflow_status(self, workflow_id: str, _: Json, __: Json) -> Json:
        task = self._task(workflow_id)
        return {**task.shown(), "outputBytes": task.size}

    def get_workflow_output(self, workflow_id: str, query: Json, _: Json) -> Json:
        task, after = self._task(workflow_id), int(query.get("after", 0))
        limit = min(int(query.get("limit", 262144)), 100_000)
        with self._lock:
            chunks: list[Json] = []
            for offset, stream, data in task.pieces:
                cut = data[max(0, after - offset) : max(0, after + limit - offset)]
                if cut:
                    text, encoding = protocol.text_or_base64(cut)
                    start = max(offset, after)
                    chunks.append({"offset": start, "stream": stream, "data": text, "encoding": encoding})
            end = min(task.size, after + limit)
            over = task.shown()["outputBytes"] is not None
            return {"chunks": chunks, "nextOffset": end, "complete": over and end == task.size}

    def post_workflow_cancel(self, workflow_id: str, _: Json, body: Json) -> Json:
        task = self._task(workflow_id)
        task.cancelled = True
        self._kill(task, signal.Signals[f"SIG{body.get('signal', 'TERM')}"])
        return {}

    def post_workflow_stdin(self, workflow_id: str, _: Json, body: Json) -> Json:
        stdin, data = self._stdin(workflow_id), protocol.bytes_of(body["data"], body.get("encoding", "utf-8"))
        assert len(data) <= 64 * 1024
        offset = body.get("offset", len(stdin))
        if stdin[offset : offset + len(data)] != data:
            if offset != len(stdin):
                raise Refusal(409, "conflict")
            stdin += data
        return {"offset": len(stdin)}

    def post_workflow_stdin_close(self, workflow_id: str, _: Json, __: Json) -> Json:
        self._stdin(workflow_id)
        self._task(workflow_id).stdin_closed = True
        return {"offset": len(self._stdin(workflow_id))}

    def _stdin(self, workflow_id: str) -> bytearray:
        stdin = self._task(workflow_id).stdin
        if stdin is None:
            raise Refusal(409, "conflict")
        return stdin

    def _task(self, workflow_id: str) -> Log:
        if workflow_id not in self.tasks:
            raise Refusal(404, "not_found", f"There is no task {workflow_id}.")
        return self.tasks[workflow_id]

    def get_credits(self, _: Json, __: Json) -> Json:
        return {"balance": 1000, "held": 10, "available": 990}

    def get_usage(self, query: Json, _: Json) -> Json:
        self.periods.append((query.get("from"), query.get("to")))
        name, group = {"day": ("day", AT[:10]), "session": ("sessionId", "ses_1"), "key": ("keyId", None)}[
            query["groupBy"]
        ]
        return {"rows": [{name: group, "credits": 12, "tasks": 3}], "total": 12}

    def post_socket_ticket(self, _: Json, __: Json) -> Json:
        return {"ticket": "t1", "url": self.socket_url, "expiresAt": AT}

    def get_health(self, _: Json, __: Json) -> Json:
        return {"status": "ok"}


def _handler(platform: Platform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet for a reply: Nagle would hold back the second for 40 ms

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _do(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
            platform.requests.append((self.command, address.path))
            platform.keys_seen.append(self.headers.get("idempotency-key"))
            if platform.fail_next:
                status, headers = platform.fail_next.pop(0)
                self._reply(status, {"message": "the gateway's own words"}, headers)
                return
            try:
                answer = platform.answer(self.command, address.path, self.headers, query, body)
            except Refusal as refusal:
                self._reply(refusal.status, refusal.body, refusal.headers)
                return
            platform.hold_replies.wait(10)
            if platform.lose_next:
                platform.lose_next -= 1
                self.close_connection = True
                return
            self._reply(200, answer, {})

        do_GET = do_POST = do_DELETE = _do

        def _reply(self, status: int, body: Json, headers: dict[str, str]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
