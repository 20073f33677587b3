"""A command's output where one of its children reads the same pipe: it can open that by its name."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from agent.pipes import Pipes
from agent.protocol import Stream

pytestmark = pytest.mark.timeout(10)  # an agent that waits for what never comes may give way to nothing else
_MORE_THAN_ONE_READ = b"x" * 100_000


@dataclass(frozen=True)
class Ends:
    """Of both pipes. stdout's other end stays open, as where a child is left that has it."""

    stdout: int
    stderr: int
    child: int

    def steal(self) -> None:
        """All that is there."""
        os.read(self.stdout, 1024 * 1024)


@pytest.fixture
def ends() -> Iterator[Ends]:
    stdout, child = os.pipe()
    fcntl.fcntl(child, fcntl.F_SETPIPE_SZ, 256 * 1024)
    stderr, to_stderr = os.pipe()
    os.close(to_stderr)
    os.write(child, _MORE_THAN_ONE_READ)
    yield Ends(stdout, stderr, child)
    os.close(child)


async def test_what_a_child_takes_from_the_pipe_is_not_waited_for(ends: Ends) -> None:
    got = bytearray()

    def take(_: Stream, data: bytes) -> bool:
        got.extend(data)
        ends.steal()
        return True

    await Pipes(ends.stdout, ends.stderr, take, 0.05).drain()
    assert 0 < len(got) < len(_MORE_THAN_ONE_READ)


async def test_nor_is_what_it_takes_while_the_agent_has_no_room(ends: Ends) -> None:
    def take(_stream: Stream, _data: bytes) -> bool:
        asyncio.get_running_loop().call_later(0.1, partial(make_room, pipes))
        return False

    def make_room(pipes: Pipes) -> None:
        ends.steal()
        pipes.resume()

    pipes = Pipes(ends.stdout, ends.stderr, take, 0.05)
    await pipes.drain()


async def test_a_pipe_whose_last_writer_goes_with_what_it_took_is_closed_once(ends: Ends) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def take(_stream: Stream, _data: bytes) -> bool:
        ends.steal()
        os.dup2(nothing, ends.child)
        return True

    await Pipes(ends.stdout, ends.stderr, take, 0.05).drain()
    os.close(nothing)
