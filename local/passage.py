"""A container's network: the internet, and of this machine the sandbox door alone.

A program of its own, standard library only, beside each container; `containers.py` starts it with the container's
process id and the door's port, and it ends with the thread that did. Inside the container's network it listens on the
door's own address, 127.0.0.1, and carries each connection to the door outside: the same URL holds in a process and in
a container, and nothing of the stack has to listen on an address that others could reach.

Before that it closes the ways that a bridge would leave open: to this machine by any of its addresses, to other
containers, and to link-local addresses, behind which a cloud's machine finds its own credentials. The container has
no right to open them again, and its agent gets no command to run before it has been let out here.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_LINK_LOCAL = IPv4Network("169.254.0.0/16")
_READ_SIZE = 256 * 1024
READY = "ready\n"

_libc = ctypes.CDLL(None, use_errno=True)


def main(pid: int, port: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    own = set(_addresses())
    with _network_of(pid):
        for network in _closed(own, set(_addresses()), _resolvers(pid)):
            _ip("route", "replace", "unreachable", str(network))
        listener = socket.create_server(("127.0.0.1", port))
    sys.stdout.write(READY)
    sys.stdout.flush()
    asyncio.run(_carry(listener, port))


@contextmanager
def _network_of(pid: int) -> Iterator[None]:
    with Path(f"/proc/{pid}/ns/net").open() as inside, Path("/proc/self/ns/net").open() as outside:
        _enter(inside.fileno())
        try:
            yield
        finally:
            _enter(outside.fileno())


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _closed(
    machine: set[IPv4Interface], container: set[IPv4Interface], resolvers: set[IPv4Address]
) -> list[IPv4Network]:
    """What the container must not reach. Its gateway is among it: packets pass through, none ends there."""
    inside = {interface.network for interface in container}
    alone = {IPv4Network(interface.ip) for interface in machine if interface.ip not in resolvers}
    return sorted({_LINK_LOCAL} | inside | alone)


def _addresses() -> Iterator[IPv4Interface]:
    """Of this network's interfaces, without the loopback's."""
    for link in json.loads(_ip("-json", "-4", "address", "show")):
        for address in link.get("addr_info", []):
            interface = IPv4Interface(f"{address['local']}/{address['prefixlen']}")
            if not interface.is_loopback:
                yield interface


def _resolvers(pid: int) -> set[IPv4Address]:
    """A name server on this machine has to stay within reach."""
    words = [line.split() for line in Path(f"/proc/{pid}/root/etc/resolv.conf").read_text().splitlines()]
    return {IPv4Address(line[1]) for line in words if line[:1] == ["nameserver"] and ":" not in line[1]}


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


async def _carry(listener: socket.socket, port: int) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            door_reader, door_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pour(reader, door_writer), _pour(door_reader, writer))

    server = await asyncio.start_server(accept, sock=listener)
    await server.serve_forever()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side is done, or either breaks the connection."""
    try:
        while part := await reader.read(_READ_SIZE):
            writer.write(part)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


if __name__ == "__main__":
    os.environ.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    with suppress(FileNotFoundError):  # the container has ended
        main(int(sys.argv[1]), int(sys.argv[2]))
