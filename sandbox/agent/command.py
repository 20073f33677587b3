"""A command, and how it becomes a process: its user, its streams, what it inherits."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.privileges import User

_SHELL = "/bin/bash"
_ARGUMENT_LIMIT = 100 * 1024
"""A longer command goes in as a file: the kernel's MAX_ARG_STRLEN is 128 KiB, and its error says nothing."""
_PIPE_SIZE = 256 * 1024
"""Four times the kernel's own, so that a command that prints much, and the agent, wait for each other less often."""
_SCRIPT = 3
"""The command's descriptor of that file, behind stdin, stdout and stderr."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_START_SECONDS = 20.0
"""A thousand times what a start takes on a busy machine, and less than the platform waits for a sandbox's sign of
life."""


class NotStartedError(Exception):
    """The command did not start. The message is for its sender."""


@dataclass(frozen=True)
class Command:
    text: str
    environment: Mapping[str, str]
    directory: Path
    stdin: bytes | None
    stdin_open: bool = False
    """Whether more is to come, through the process's feed."""


@dataclass(frozen=True)
class Started:
    """The process, and the agent's ends of its pipes."""

    pid: int
    stdout: int
    stderr: int
    stdin: int | None
    """Where more is to come."""


def start(command: Command, user: User) -> Started:
    """Returns once the shell runs. The caller waits for it. Raises NotStartedError."""
    try:
        return _start(command, user)
    except FileNotFoundError as error:
        raise NotStartedError(f"no such directory or program: {error.filename}") from error
    except (OSError, ValueError) as error:
        raise NotStartedError(f"the command could not be started: {error}") from error


def _start(command: Command, user: User) -> Started:
    with (
        _stdin(command, user) as (stdin, more),
        _Output(user) as stdout,
        _Output(user) as stderr,
        _script(command.text) as script,
        user.worn_by_this_thread(),
        _directory(command.directory),
        _or_never_again(),
    ):
        files = [stdin, stdout.write_end, stderr.write_end, *([] if script is None else [script])]
        pid = os.posix_spawn(
            _SHELL,
            [_SHELL, f"/proc/self/fd/{_SCRIPT}"] if script is not None else [_SHELL, "-c", command.text],
            command.environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, file, number) for number, file in enumerate(files)],
            setsid=True,
            setsigmask=(),  # the agent's own holds signals back
            setsigdef=_IGNORED_BY_PYTHON,
        )
        return Started(pid, stdout.take_read_end(), stderr.take_read_end(), more)


@contextmanager
def _directory(path: Path) -> Iterator[None]:
    """Where what is started inside begins. The agent itself has no use for a directory."""
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir("/")


@contextmanager
def _or_never_again() -> Iterator[None]:
    """The agent stands still until the shell runs, and before it does, it is a process that other commands can stop:
    SIGSTOP cannot be held back. Then SIGALRM ends the agent, and the sandbox with it, rather than nobody ever hearing
    of either again: nothing else of it can act."""
    signal.setitimer(signal.ITIMER_REAL, _START_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Output:
    """A pipe whose ends are closed on leaving, but for a read end that was taken."""

    def __init__(self, user: User) -> None:
        self._read_end, self.write_end = os.pipe()
        with suppress(OSError):  # more than one user's pipes may have in all
            fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        user.own(self.write_end)
        self._taken = False

    def take_read_end(self) -> int:
        self._taken = True
        return self._read_end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.write_end)
        if not self._taken:
            os.close(self._read_end)


@contextmanager
def _stdin(command: Command, user: User) -> Iterator[tuple[int, int | None]]:
    """What the command reads, and, where more is to come, the end to write that to."""
    if command.stdin_open:
        read_end, more = os.pipe()
        user.own(read_end)
    elif command.stdin is not None:
        read_end, more = _memory_file(command.stdin), None
    else:
        read_end, more = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), None
    try:
        yield read_end, more
    except BaseException:
        if more is not None:
            os.close(more)
        raise
    finally:
        os.close(read_end)


@contextmanager
def _script(text: str) -> Iterator[int | None]:
    """A file with the command in it, where it is too long for an argument."""
    encoded = text.encode()
    if len(encoded) <= _ARGUMENT_LIMIT:
        yield None
        return
    file = _memory_file(encoded)
    try:
        yield file
    finally:
        os.close(file)


def _memory_file(content: bytes) -> int:
    """A file without a name, to be read from its beginning."""
    file = os.memfd_create("filepath")
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.lseek(file, 0, os.SEEK_SET)
    return file
