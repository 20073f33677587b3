"""What sandboxes get wrong: bytes, streams, ends, and what is left behind.

Asked three times: of each runtime here, which shows how the others do; of the agent by tests/agent, and of the whole
platform by tests/stack, which fail where it is not answered right."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.agent.runtime import Receive, Result, Runtime, RuntimeFailedError

PATIENCE_SECONDS = 12
_marks = itertools.count(time.time_ns() // 1000)
"""Seconds that nothing else on the machine sleeps for."""


class Asked(Protocol):
    """A runtime, or a platform with such in it."""

    @property
    def pids(self) -> Sequence[int]:
        """Of the processes that start commands."""

    async def run(
        self, command: str, receive: Receive, *, stdin: str | None = None, timeout_seconds: int = 600
    ) -> Result: ...


@dataclass
class Answer:
    runs: list[tuple[str, bytes]]
    result: Result

    @property
    def stdout(self) -> bytes:
        return b"".join(data for stream, data in self.runs if stream == "stdout")

    @property
    def stderr(self) -> bytes:
        return b"".join(data for stream, data in self.runs if stream == "stderr")


Probe = Callable[[Asked], Awaitable[bool]]


async def ask(asked: Asked, command: str, stdin: str | None = None, timeout_seconds: int = 600) -> Answer:
    runs: list[tuple[str, bytes]] = []

    def receive(stream: str, data: bytes | memoryview) -> None:
        if runs and runs[-1][0] == stream:
            runs[-1] = (stream, runs[-1][1] + bytes(data))
        else:
            runs.append((stream, bytes(data)))

    result = await asked.run(command, receive, stdin=stdin, timeout_seconds=timeout_seconds)
    return Answer(runs, result)


def prints(command: str, expected: bytes) -> Probe:
    async def probe(asked: Asked) -> bool:
        return (await ask(asked, command)).stdout == expected

    return probe


def ends(command: str, exit_code: int) -> Probe:
    async def probe(asked: Asked) -> bool:
        return (await ask(asked, command)).result.exit_code == exit_code

    return probe


async def keeps_streams_in_order(asked: Asked) -> bool:
    answer = await ask(asked, "echo o1; sleep 0.3; echo e1 >&2; sleep 0.3; echo o2")
    return answer.runs == [("stdout", b"o1\n"), ("stderr", b"e1\n"), ("stdout", b"o2\n")]


async def keeps_streams_apart(asked: Asked) -> bool:
    answer = await ask(asked, "echo o; echo e >&2")
    return (answer.stdout, answer.stderr) == (b"o\n", b"e\n")


async def returns_although_a_child_holds_stdout(asked: Asked) -> bool:
    sleep = f"sleep {next(_marks)}"
    answer = await ask(asked, f"{sleep} & echo done")
    return answer.stdout == b"done\n" and kill_all(sleep) == 1


async def kills_the_tree(asked: Asked, escape: str = "") -> bool:
    sleep = f"sleep {next(_marks)}"
    command = f"{escape} {sleep} & ({sleep} & {sleep}) & {sleep}"
    with suppress(RuntimeFailedError):  # one way to say that time was up
        await ask(asked, command, timeout_seconds=1)
    return not kill_all(sleep)


async def kills_what_left_the_session(asked: Asked) -> bool:
    return await kills_the_tree(asked, "setsid")


async def is_usable_after_a_timeout(asked: Asked) -> bool:
    with suppress(RuntimeFailedError):
        await ask(asked, f"sleep {next(_marks)}", timeout_seconds=1)
    return (await ask(asked, "echo here")).stdout == b"here\n"


async def tells_of_a_kill(asked: Asked) -> bool:
    result = (await ask(asked, "kill -9 $$")).result
    return result.exit_code in (-9, 137) or (result.exit_code is None and "KILL" in result.said)


async def takes_stdin(asked: Asked) -> bool:
    return (await ask(asked, "cat", stdin="zwölf\n")).stdout == "zwölf\n".encode()


async def takes_a_long_command(asked: Asked) -> bool:
    return (await ask(asked, f"echo '{'x' * 200_000}' | wc -c")).stdout.strip() == b"200001"


async def runs_fifty_at_once(asked: Asked) -> bool:
    answers = await asyncio.gather(*(ask(asked, f"sleep 0.2; echo {n}; exit {n}") for n in range(50)))
    right = all(answer.stdout == f"{n}\n".encode() for n, answer in enumerate(answers))
    return right and [answer.result.exit_code for answer in answers] == list(range(50))


async def leaves_no_zombie(asked: Asked, children: int = 4000) -> bool:
    """Half of them are nobody's children once they run, and so the agent's."""
    answer = await ask(asked, f"for i in {{1..{children // 2}}}; do /bin/true; (/bin/true &); done; exit 9")
    return answer.result.exit_code == 9 and not any(zombies(pid) for pid in asked.pids)


async def leaves_no_zombie_of_ten_thousand(asked: Asked) -> bool:
    """Longer than a comparison of runtimes waits."""
    return await leaves_no_zombie(asked, 10_000)


async def is_right_two_hundred_times(asked: Asked) -> bool:
    return [(await ask(asked, f"(true &); exit {n}")).result.exit_code for n in range(200)] == list(range(200))


PROBES: dict[str, Probe] = {
    "a character in two parts": prints(r"printf '\xe2\x82'; sleep 0.3; printf '\xac'", "€".encode()),
    "1.2 MB of €": prints('python3 -c \'print("€" * 400000, end="")\'', "€".encode() * 400_000),
    "bytes 0 to 255": prints("python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)))'", bytes(range(256))),
    "no newline at the end": prints("printf abc", b"abc"),
    "blank lines": prints(r"printf '\n\na\n\n'", b"\n\na\n\n"),
    "colours": prints(r"printf '\033[31mred\033[0m\r\n'", b"\x1b[31mred\x1b[0m\r\n"),
    "seq 1 10000, all of it": prints("seq 1 10000", b"".join(b"%d\n" % n for n in range(1, 10_001))),
    "a line of 10 MB": prints("head -c 10000000 /dev/zero | tr '\\0' a", b"a" * 10_000_000),
    "stdout and stderr apart": keeps_streams_apart,
    "stdout and stderr in order": keeps_streams_in_order,
    "child holds stdout": returns_although_a_child_holds_stdout,
    "timeout kills the tree": kills_the_tree,
    "timeout kills what left with setsid": kills_what_left_the_session,
    "usable after a timeout": is_usable_after_a_timeout,
    "SIGSEGV of a child": ends("sh -c 'kill -SEGV $$'; exit $?", 139),
    "kill -9 $$": tells_of_a_kill,
    "exit 7": ends("exit 7", 7),
    "unbalanced quote": ends("echo 'unbalanced", 2),
    "syntax error": ends("if; then", 2),
    "no stdin: end of file": prints("read line; echo $?", b"1\n"),
    "stdin as given": takes_stdin,
    "a command of 200 KB": takes_a_long_command,
    "heredoc": prints("cat <<'EOF'\none\n\n$two\nEOF\n", b"one\n\n$two\n"),
    "50 at once": runs_fifty_at_once,
    "4,000 short children, no zombie": leaves_no_zombie,
    "exit code right 200 times of 200": is_right_two_hundred_times,
}


async def verdicts(kind: type[Runtime]) -> dict[str, str]:
    """By probe. After one that went wrong comes a new runtime, so that it does not count against the next probe."""
    found: dict[str, str] = {}
    runtime: Runtime | None = None
    for name, probe in PROBES.items():
        if not _applies(kind, probe):
            found[name] = "–"
            continue
        if runtime is None:
            runtime = kind()
            await runtime.start()
        found[name] = await _verdict(runtime, probe)
        if found[name] != "ok":
            await runtime.stop()
            runtime = None
    if runtime:
        await runtime.stop()
    return found


def _applies(kind: type[Runtime], probe: Probe) -> bool:
    if probe is takes_stdin:
        return kind.has_stdin
    needs_deadline = (kills_the_tree, kills_what_left_the_session, is_usable_after_a_timeout)
    return kind.has_deadline or probe not in needs_deadline


async def _verdict(runtime: Runtime, probe: Probe) -> str:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return "ok" if await probe(runtime) else "✗"
    except TimeoutError:
        return "✗ hangs"
    except RuntimeFailedError:
        return "✗ error"


def kill_all(command: str) -> int:
    """How many there were of these, which the next runtime must not be blamed for."""
    line = command.replace(" ", "\0").encode() + b"\0"
    left = [pid for pid, found in _of_each_process("cmdline") if found == line]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def zombies(parent: int) -> bool:
    states = (stat.rpartition(b")")[2].split()[:2] for _, stat in _of_each_process("stat"))
    return any(state == [b"Z", str(parent).encode()] for state in states)


def _of_each_process(name: str) -> Iterator[tuple[int, bytes]]:
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone in between
            yield int(directory.name), (directory / name).read_bytes()
