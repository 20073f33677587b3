"""The floor: commands over one WebSocket in as few lines as it takes, with none of what makes results reliable.

`python floor.py` prints its port. A request is an id and a command; a reply is the id, a kind and bytes."""

import asyncio
import struct

from websockets.asyncio.server import ServerConnection, serve

STDOUT, STDERR, EXIT = range(3)


async def forward(socket: ServerConnection, number: int, kind: int, pipe: asyncio.StreamReader) -> None:
    while data := await pipe.read(65536):
        await socket.send(struct.pack("!IB", number, kind) + data)


async def execute(socket: ServerConnection, number: int, command: str) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("/bin/bash", "-c", command, stdout=pipe, stderr=pipe)
    assert process.stdout
    assert process.stderr
    await asyncio.gather(
        forward(socket, number, STDOUT, process.stdout), forward(socket, number, STDERR, process.stderr)
    )
    await socket.send(struct.pack("!IBi", number, EXIT, await process.wait()))


async def converse(socket: ServerConnection) -> None:
    async with asyncio.TaskGroup() as commands:
        async for message in socket:
            assert isinstance(message, bytes)
            commands.create_task(execute(socket, struct.unpack_from("!I", message)[0], message[4:].decode()))


async def main() -> None:
    async with serve(converse, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
