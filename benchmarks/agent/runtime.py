"""What a measurement asks of any runtime: start, run a command, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Receive = Callable[[str, bytes | memoryview], None]
"""Takes bytes of one stream, at the moment at which the caller has them."""


@dataclass(frozen=True)
class Result:
    """A command's end as the caller was told it: `exit_code` is negative for a signal where the runtime says so."""

    exit_code: int | None
    said: str = ""
    """More that was said of the end: a cause, an error."""


class RuntimeFailedError(Exception):
    """The runtime answered with an error in place of a result."""


class Runtime(ABC):
    name: str
    streams = True
    """Whether output comes before the end of the command."""
    has_stdin = False
    has_deadline = False

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="filepath-bench-", ignore_cleanup_errors=True)
        self.home = Path(self._home.name)
        self.home.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    async def start(self) -> None:
        """Returns when the first command can be asked for."""

    @abstractmethod
    async def run(
        self, command: str, receive: Receive, *, stdin: str | None = None, timeout_seconds: int = 600
    ) -> Result:
        """Raises RuntimeFailedError."""

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def pids(self) -> Sequence[int]:
        return [self.pid]

    async def stop(self) -> None:
        if self._process:
            await asyncio.to_thread(end, self._process)
        self._home.cleanup()

    def spawn(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        stdout: int | IO[bytes] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                arguments, env=environment, cwd=self.home, stdout=stdout, stderr=log, start_new_session=True
            )
        return self._process


def end(process: subprocess.Popen[bytes]) -> None:
    """With whatever commands are left: a runtime that is measured may leave some."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


async def port_accepts(port: int, process: subprocess.Popen[bytes], within_seconds: float = 60) -> None:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.002)
        else:
            writer.close()
            return
    raise RuntimeFailedError("it does not listen")
