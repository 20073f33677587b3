"""The runtimes from PyPI, each in an environment of its own under .tools: they answer over HTTP when a command is over.

The caller here is leaner than their own clients, so what is measured is the servers."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.agent.runtime import Receive, Result, Runtime, RuntimeFailedError, port_accepts

TOOLS = Path(__file__).parents[2] / ".tools"
REUSED_SECONDS = 2
"""uvicorn closes a connection that nothing came over for 5 s, maybe just as the next request is on its way."""


class HttpRuntime(Runtime):
    streams = False
    has_deadline = True
    program: Path
    path: str
    headers: Mapping[str, str] = {}

    def __init__(self) -> None:
        super().__init__()
        self._port = _free_port()
        # With the time of their last use.
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []

    @classmethod
    def is_installed(cls) -> bool:
        return cls.program.exists()

    @abstractmethod
    def arguments(self, port: int) -> list[str]: ...

    @abstractmethod
    def body(self, command: str, timeout_seconds: int) -> dict[str, Any]: ...

    async def start(self) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"}
        process = self.spawn([str(self.program), *self.arguments(self._port)], environment)
        await port_accepts(self._port, process)

    async def run(
        self,
        command: str,
        receive: Receive,
        *,
        stdin: str | None = None,  # noqa: ARG002 - they have none
        timeout_seconds: int = 600,
    ) -> Result:
        reply = await self._post(self.body(command, timeout_seconds))
        for stream in ("stdout", "stderr"):
            if text := reply.get(stream):
                receive(stream, text.encode(errors="surrogatepass"))
        return Result(reply.get("exit_code"))

    async def stop(self) -> None:
        for _, writer, _ in self._idle:
            writer.close()
        await super().stop()

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps(body).encode()
        head = [f"POST {self.path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        head += [f"Content-Length: {len(content)}", "", ""]
        reader, writer = await self._connection()
        writer.write("\r\n".join(head).encode() + content)
        status, reply = await _read_reply(reader)
        if status == 200:
            self._idle.append((reader, writer, time.monotonic()))
        else:
            writer.close()
            raise RuntimeFailedError(f"{status} {reply[:200].decode(errors='replace')}")
        parsed: dict[str, Any] = json.loads(reply)
        return parsed

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, since = self._idle.pop()
            if time.monotonic() - since < REUSED_SECONDS and not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port, limit=64 * 1024 * 1024)


async def _read_reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), await reader.readexactly(int(headers["content-length"]))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise RuntimeFailedError("it hung up") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class SweRex(HttpRuntime):
    name = "SWE-ReX execute"
    program = TOOLS / "swe-rex/bin/swerex-remote"
    path = "/execute"
    headers: Mapping[str, str] = {"X-API-Key": "benchmark"}

    def arguments(self, port: int) -> list[str]:
        return ["--host", "127.0.0.1", "--port", str(port), "--auth-token", "benchmark"]

    def body(self, command: str, timeout_seconds: int) -> dict[str, Any]:
        return {"command": ["/bin/bash", "-c", command], "timeout": timeout_seconds}


class OpenHands(HttpRuntime):
    name = "OpenHands"
    program = TOOLS / "openhands/bin/python"
    path = "/api/bash/execute_bash_command"

    def arguments(self, port: int) -> list[str]:
        return ["-m", "openhands.agent_server", "--host", "127.0.0.1", "--port", str(port)]

    def body(self, command: str, timeout_seconds: int) -> dict[str, Any]:
        return {"command": command, "cwd": str(self.home), "timeout": timeout_seconds}
