"""The caller's end of the floor."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.agent.runtime import Receive, Result, Runtime, RuntimeFailedError

_STREAMS = ("stdout", "stderr")


@dataclass
class _Command:
    receive: Receive
    exit: asyncio.Future[Result] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Floor(Runtime):
    name = "floor"

    def __init__(self) -> None:
        super().__init__()
        self._commands: dict[int, _Command] = {}
        self._last = 0
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        server = Path(__file__).with_name("floor.py")
        process = self.spawn([sys.executable, str(server)], {"PATH": os.environ["PATH"]}, subprocess.PIPE)
        assert process.stdout
        port = int(await asyncio.to_thread(process.stdout.readline))
        process.stdout.close()
        self._socket = await connect(
            f"ws://127.0.0.1:{port}", compression=None, ping_interval=None, max_size=None, proxy=None
        )
        self._reading = asyncio.create_task(self._read(self._socket))

    async def run(
        self,
        command: str,
        receive: Receive,
        *,
        stdin: str | None = None,  # noqa: ARG002 - it has none
        timeout_seconds: int = 600,  # noqa: ARG002 - nor a deadline
    ) -> Result:
        self._last += 1
        number = self._last
        running = self._commands[number] = _Command(receive)
        assert self._socket
        await self._socket.send(struct.pack("!I", number) + command.encode())
        try:
            return await running.exit
        finally:
            del self._commands[number]

    async def stop(self) -> None:
        if self._reading and self._socket:
            await self._socket.close()
            await self._reading
        await super().stop()

    async def _read(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            await self._take_all(socket)
        for command in self._commands.values():
            if not command.exit.done():
                command.exit.set_exception(RuntimeFailedError("it hung up"))

    async def _take_all(self, socket: ClientConnection) -> None:
        async for message in socket:
            assert isinstance(message, bytes)
            number, kind = struct.unpack_from("!IB", message)
            command = self._commands.get(number)
            if command is None:
                continue
            if kind < len(_STREAMS):
                command.receive(_STREAMS[kind], memoryview(message)[5:])
            else:
                command.exit.set_result(Result(struct.unpack_from("!i", message, 5)[0]))
