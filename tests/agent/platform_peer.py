"""The platform as an agent meets it: a real WebSocket server that stores logs and answers by the protocol, and that
can be told to misbehave the way networks, API Gateway and functions do.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as Handshake
from websockets.http11 import Response as HandshakeReply

from agent import protocol
from agent.protocol import Chunk, End, Exec, Request, Signal, StdinPiece

TOKEN = "secret-of-the-session"
SESSION = "ses_0123456789abcdefghij"
Params = dict[str, Any]


@dataclass
class Log:
    """What the platform keeps of one task."""

    data: bytearray = field(default_factory=bytearray)
    runs: list[tuple[str, int]] = field(default_factory=list)
    started: int = 0
    ended: End | None = None
    exit: End | None = None
    progress: list[tuple[int, str | None]] = field(default_factory=list)
    stored: int = 0
    stdin: bytearray = field(default_factory=bytearray)
    stdin_closed: bool = False
    kept: dict[int, Chunk] = field(default_factory=dict)

    def of(self, stream: str) -> bytes:
        found, at = bytearray(), 0
        for name, length in self.runs:
            if name == stream:
                found += self.data[at : at + length]
            at += length
        return bytes(found)

    def text(self) -> str:
        return self.data.decode()

    def put(self, chunk: Chunk) -> None:
        """If absent, by its offset."""
        self.kept.setdefault(chunk.offset, chunk)

    def grow(self, chunk: Chunk) -> None:
        """`SET stored = :end IF stored = :offset`: a length, believed without a look at what was put."""
        if self.stored == chunk.offset:
            self.stored = chunk.end
            kept = self.kept[chunk.offset]
            self.data += kept.data
            self.runs += [(run.stream, run.length) for run in kept.runs]

    def store(self, chunk: Chunk) -> None:
        self.put(chunk)
        self.grow(chunk)


@dataclass
class Received:
    """One message, with the connection it came over."""

    connection: int
    text: str
    method: str
    params: Params


class PlatformPeer:
    def __init__(self) -> None:
        self.logs: dict[str, Log] = {}
        self.received: list[Received] = []
        self.connections: list[ServerConnection] = []
        self.handshakes: list[Handshake] = []
        self.session_env: dict[str, str] = {}
        self.heartbeat_seconds = 30.0
        self.grace_seconds = 1.0
        self.hello: Params = {}
        """More fields for the reply to hello."""
        self.heartbeat: Params = {}
        self.background: Params = {}
        self.stopped: set[str] = set()
        """Tasks that the platform is done with."""
        self.watched = True
        # Misbehaviour
        self.refuse_with: int | None = None
        self.answer_delay = 0.0
        self.answers: Callable[[Received], str | bool | None] = lambda _: True
        """True: answer as one should. False: say nothing, and do nothing. None: do it, but the answer is lost.
        A text: say that instead, and do nothing."""
        self.answer_twice = False
        self.take_exits = True
        self._changed = asyncio.Event()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            compression=None,
            ping_interval=None,
            process_request=self._shake_hands,
            max_size=(protocol.MESSAGE_LIMIT, protocol.FRAME_LIMIT),
            close_timeout=0.5,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/agents"

    # What the platform does by itself

    async def execute(self, workflow_id: str, command: str = "", timeout_seconds: int = 60, **more: Any) -> Log:
        log = self.logs.setdefault(workflow_id, Log())
        await self.post("exec", Exec(workflow_id, timeout_seconds, command, **more).params())
        return log

    async def run(self, command: str, timeout_seconds: int = 60, **more: Any) -> Log:
        """Executes, and waits for the end."""
        workflow_id = f"wf_{len(self.logs)}"
        log = await self.execute(workflow_id, command, timeout_seconds, **more)
        await self.until(lambda: log.exit is not None)
        return log

    async def write(self, workflow_id: str, data: bytes, *, closed: bool = False, is_lost: bool = False) -> None:
        """Keeps it, and posts it unless that is lost."""
        log = self.logs[workflow_id]
        offset = len(log.stdin)
        log.stdin += data
        log.stdin_closed = log.stdin_closed or closed
        if not is_lost:
            await self.post("stdin", self.piece(workflow_id, offset).params())

    def piece(self, workflow_id: str, offset: int) -> StdinPiece:
        log = self.logs[workflow_id]
        data = bytes(log.stdin[offset : offset + 64 * 1024])
        return StdinPiece(workflow_id, offset, data, len(log.stdin), log.stdin_closed)

    async def signal(self, workflow_id: str, name: str) -> None:
        await self.post("signal", Signal(workflow_id, name).params())

    async def post(self, method: str, params: Params) -> None:
        await self.until(lambda: bool(self.greeted()))
        await self.connections[-1].send(protocol.notification(method, params))

    def cut(self) -> None:
        """Breaks every connection, without a word."""
        for connection in self.connections:
            connection.transport.abort()

    # What tests wait for and look at

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def of(self, method: str, workflow_id: str | None = None) -> list[Received]:
        return [
            received
            for received in self.received
            if received.method == method and workflow_id in (None, received.params.get("workflowId"))
        ]

    def greeted(self) -> list[Received]:
        return self.of("hello")

    def resent(self) -> list[str]:
        """Texts that came more than once."""
        return [text for text, times in Counter(received.text for received in self.received).items() if times > 1]

    # Serving

    def _shake_hands(self, connection: ServerConnection, handshake: Handshake) -> HandshakeReply | None:
        self.handshakes.append(handshake)
        self._changed.set()
        status = self.refuse_with
        if handshake.headers["Authorization"] != f"Bearer {TOKEN}":
            status = 401
        return connection.respond(HTTPStatus(status), "refused\n") if status else None

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        number = len(self.connections) - 1
        answering: set[asyncio.Task[None]] = set()
        try:
            # Side by side, as AWS runs the messages of one connection.
            async for text in connection:
                assert isinstance(text, str), "API Gateway takes text only"
                task = asyncio.create_task(self._answer(connection, number, text))
                answering.add(task)
                task.add_done_callback(answering.discard)
        except ConnectionClosed:
            pass
        finally:
            await asyncio.gather(*answering)
            self._changed.set()

    async def _answer(self, connection: ServerConnection, number: int, text: str) -> None:
        request = protocol.parse(text)
        assert isinstance(request, Request)
        received = Received(number, text, request.method, request.params)
        verdict = self.answers(received)
        self.received.append(received)
        self._changed.set()
        if self.answer_delay:
            await asyncio.sleep(self.answer_delay)
        if verdict is False:
            return
        reply = verdict if isinstance(verdict, str) else protocol.success(request.id, self._handle(received))
        self._changed.set()
        if verdict is not None:
            try:
                for _ in range(2 if self.answer_twice else 1):
                    await connection.send(reply)
            except ConnectionClosed:
                pass

    def _handle(self, received: Received) -> Params:
        if received.method == "hello":
            return {
                "sessionId": SESSION,
                "env": self.session_env,
                "heartbeatSeconds": self.heartbeat_seconds,
                "graceSeconds": self.grace_seconds,
                "stop": [],
                "tasks": [],
                **self.hello,
            }
        if received.method == "heartbeat":
            return {"stop": [], "signals": [], **self.heartbeat}
        if received.method == "background":
            return {"stop": False, "reason": None, **self.background}
        workflow_id = received.params["workflowId"]
        log = self.logs[workflow_id]
        reply = self._record(log, received)
        return {"stop": workflow_id in self.stopped, **reply}

    def _record(self, log: Log, received: Received) -> Params:
        params = received.params
        match received.method:
            case "started":
                log.started += 1
            case "output":
                log.store(protocol.chunk_of(params))
                return {"stored": log.stored, "watched": self.watched}
            case "progress":
                log.progress.append((params["percent"], params["message"]))
            case "ended":
                log.ended = End.of(params["end"])
            case "exit":
                return self._take_exit(log, params)
            case "readStdin":
                return self.piece(received.params["workflowId"], params["offset"]).params()
            case unknown:
                raise AssertionError(unknown)
        return {}

    def _take_exit(self, log: Log, params: Params) -> Params:
        accepted = self.take_exits and log.stored == params["outputBytes"]
        if accepted and log.exit is None:
            log.exit = End.of(params["end"])
        return {"stored": log.stored, "accepted": accepted}


def gateway_error() -> str:
    """What API Gateway itself says when the function behind it fails."""
    return json.dumps({"message": "Internal server error", "connectionId": "AbC=", "requestId": "x"})


def failure(text: str, *, retryable: bool, code: str = "unavailable") -> str:
    return protocol.failure(
        json.loads(text)["id"],
        protocol.SERVER_ERROR,
        "no",
        {"error": {"code": code, "message": "no", "retryable": retryable}},
    )
