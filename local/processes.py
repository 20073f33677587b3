"""Programs of the stack that run in the background, known by a file with their process id.

A process id may be another program's by the time it is read: the file holds the process's start as well, and only a
process with both is ever signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.home import CHECKOUT, Home


def started_at(pid: int) -> str | None:
    """The process's start on the kernel's clock, or None where there is no such process (or only its remains)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


@dataclass(frozen=True)
class Program:
    """One background program of a stack."""

    home: Home
    name: str
    command: Sequence[str]

    @property
    def log(self) -> Path:
        return self.home.logs / f"{self.name}.log"

    @property
    def _file(self) -> Path:
        return self.home.run / f"{self.name}.json"

    def pid(self) -> int | None:
        """Its process id while it runs."""
        known = self._known()
        return int(known["pid"]) if known and started_at(known["pid"]) == known["started"] else None

    def ports(self) -> tuple[int, ...]:
        """Those that it was started with."""
        return tuple(self._known().get("ports", ()))

    def _known(self) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads(self._file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return known

    def start(self, environment: Mapping[str, str]) -> None:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command,
                cwd=CHECKOUT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # It outlives this program, which will not wait for it.
        process.returncode = 0
        known = {"pid": process.pid, "started": started_at(process.pid), "ports": self.home.ports}
        self._file.write_text(json.dumps(known))

    def stop(self, seconds: float) -> bool:
        """Ask it to end; kill it when that takes too long. Whether it ended by itself."""
        pid = self.pid()
        ended = pid is None or self._ends_by(signal.SIGTERM, pid, seconds)
        if pid is not None and not ended:
            self._ends_by(signal.SIGKILL, pid, 5)
        self._file.unlink(missing_ok=True)
        return ended

    def _ends_by(self, asked: signal.Signals, pid: int, seconds: float) -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, asked)
        deadline = time.monotonic() + seconds
        while self.pid() == pid:
            if time.monotonic() > deadline:
                return False
            # Not a child of this process, so there is nothing to wait on but /proc.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
        return True

    def tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
