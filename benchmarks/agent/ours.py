"""The sandbox agent, with a platform on its socket that stores and acknowledges at once.

The messages are the product's own. The platform here is as lean as it can be, because it shares the machine with what
is measured; tests/agent has one that checks and misbehaves."""

from __future__ import annotations

import asyncio
import binascii
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from benchmarks.agent.runtime import Receive, Result, Runtime, RuntimeFailedError

ROOT = Path(__file__).parents[2]
_SESSION = "ses_benchmark0000000000"
_TOKEN = "benchmark"  # noqa: S105 - nobody else can reach the socket
_MESSAGE_LIMIT, _FRAME_LIMIT = 128 * 1024, 32 * 1024


@dataclass
class _Log:
    receive: Receive
    exit: asyncio.Future[Result] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    stored: int = 0


class _Line(asyncio.Protocol):
    """One WebSocket, upon the library's protocol without its connection: whole messages in, messages out."""

    def __init__(self, receive: Callable[[_Line, bytes], None]) -> None:
        self._receive = receive
        self._protocol = ServerProtocol(max_size=(_MESSAGE_LIMIT, _FRAME_LIMIT))
        self._pieces: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode in DATA_OPCODES:
                self._pieces.append(bytes(event.data))
                if event.fin:
                    message, self._pieces = b"".join(self._pieces), []
                    self._receive(self, message)
        self._write()

    def eof_received(self) -> None:
        self._protocol.receive_eof()

    def send(self, text: str) -> None:
        self._protocol.send_text(text.encode())
        self._write()

    def _write(self) -> None:
        self._transport.writelines(data for data in self._protocol.data_to_send() if data)


class Ours(Runtime):
    name = "filepath agent"
    has_stdin = True
    has_deadline = True

    def __init__(self) -> None:
        super().__init__()
        self._logs: dict[str, _Log] = {}
        self._last = 0
        self._line: _Line | None = None
        self._server: asyncio.Server | None = None
        self._greeted = asyncio.Event()
        self._answers: dict[str, Callable[[dict[str, Any]], str]] = {
            "hello": self._greet,
            "started": lambda _: "{}",
            "ended": lambda _: "{}",
            "heartbeat": lambda _: "{}",
            "output": self._store,
            "exit": self._take_exit,
        }

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Line(self._answer), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        workspace = self.home / "workspace"
        workspace.mkdir()
        if os.geteuid() == 0:
            os.chown(workspace, 1000, 1000)
        environment = {
            "PYTHONPATH": str(ROOT / "sandbox"),
            "FILEPATH_AGENTS_URL": f"ws://127.0.0.1:{port}/",
            "FILEPATH_SESSION": _SESSION,
            "FILEPATH_TOKEN": _TOKEN,
            "FILEPATH_WORKSPACE": str(workspace),
        }
        self.spawn([sys.executable, "-P", "-m", "agent"], environment)
        async with asyncio.timeout(20):
            await self._greeted.wait()

    async def run(
        self, command: str, receive: Receive, *, stdin: str | None = None, timeout_seconds: int = 600
    ) -> Result:
        self._last += 1
        workflow_id = f"wf_{self._last}"
        log = self._logs[workflow_id] = _Log(receive)
        params = {"workflowId": workflow_id, "timeoutSeconds": timeout_seconds, "command": command, "stdin": stdin}
        text = json.dumps({"jsonrpc": "2.0", "method": "exec", "params": params}, ensure_ascii=False)
        assert self._line
        self._line.send(text)
        try:
            return await log.exit
        finally:
            del self._logs[workflow_id]

    async def stop(self) -> None:
        await super().stop()
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    def _answer(self, line: _Line, text: bytes) -> None:
        self._line = line
        message = _read(text)
        result = self._answers[message["method"]](message["params"])
        line.send(f'{{"jsonrpc":"2.0","id":{message["id"]},"result":{result}}}')

    def _greet(self, _: dict[str, Any]) -> str:
        self._greeted.set()
        return '{"env":{},"heartbeatSeconds":30,"graceSeconds":1}'

    def _store(self, params: dict[str, Any]) -> str:
        log, offset, at = self._logs[params["workflowId"]], params["offset"], 0
        if offset != log.stored:
            raise RuntimeFailedError(f"a chunk at {offset}, where {log.stored} bytes are stored")
        data = memoryview(_bytes(params["text"]) if "text" in params else binascii.a2b_base64(params["data"]))
        for stream, length in params["runs"]:
            log.receive(stream, data[at : at + length])
            at += length
        log.stored += len(data)
        return f'{{"stored":{log.stored},"watched":true}}'

    def _take_exit(self, params: dict[str, Any]) -> str:
        log, end = self._logs[params["workflowId"]], params["end"]
        if params["outputBytes"] != log.stored:
            raise RuntimeFailedError(f"an exit after {params['outputBytes']} bytes, where {log.stored} are stored")
        log.exit.set_result(Result(end["exitCode"], end["signal"] or end["message"] or end["cause"]))
        return '{"accepted":true}'


def _read(text: bytes) -> Any:
    """Output without an escape in it is taken as it stands, last as it is in its message: the json module would look at
    every byte, for about as long as the agent has a chunk in its hands."""
    head, found, rest = text.partition(b'"text":"')
    if not found or b"\\" in rest:
        return json.loads(text)
    message = json.loads(head + b'"text":""}}')
    message["params"]["text"] = rest.removesuffix(b'"}}')
    return message


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
