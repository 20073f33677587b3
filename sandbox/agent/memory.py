"""Whether the kernel killed for want of memory, as the sandbox's control group counts it.

The kernel counts a kill before it sends the signal, so that a wait status is never read before its count. It names no
process: a killed command is taken for the one that was counted where the count rose since it was last read, and rose
by no less than what died of SIGKILL in that time. Where nothing is counted (no control group of its own), nothing is
said. What cannot be told apart is a command that kills itself just after one of its children was killed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_FILES = {"": "memory.events", "memory": "memory.oom_control"}
"""By the controller that /proc/self/cgroup names; version 2 names none."""
_COUNTED_SECONDS = 2.0
"""How long a process with a SIGKILL may take to die: its memory is freed first."""


class OutOfMemoryKills:
    """Counted from when this is made."""

    def __init__(self, file: Path | None) -> None:
        self._file = os.open(file, os.O_RDONLY | os.O_CLOEXEC) if file else -1
        self._seen = self._count()
        self._unexplained: list[float] = []

    def explain(self, deaths: int, now: float) -> bool:
        """Whether as many processes as just died of SIGKILL were killed by the kernel. Asked at each death of any
        kind, so that a kill is counted at the time of its own."""
        count = self._count()
        self._unexplained = [at for at in self._unexplained if now - at <= _COUNTED_SECONDS]
        self._unexplained += [now] * (count - self._seen)
        self._seen = count
        if not 0 < deaths <= len(self._unexplained):
            return False
        del self._unexplained[:deaths]
        return True

    def _count(self) -> int:
        if self._file < 0:
            return 0
        with suppress(OSError):
            for line in os.pread(self._file, 4096, 0).splitlines():
                name, _, number = line.partition(b" ")
                if name == b"oom_kill":
                    return int(number)
        return 0


def counter(groups: str | None = None, mount: Path = _MOUNT) -> Path | None:
    """The file with this control group's count. A container sees its own group as the root, others by its path."""
    if groups is None:
        with suppress(OSError):
            groups = Path("/proc/self/cgroup").read_text()
    for controllers, path in _memory_groups((groups or "").splitlines()):
        root = mount / controllers
        for directory in (root / path.lstrip("/"), root):
            file = directory / _FILES[controllers]
            if _counts(file):
                return file
    return None


def _memory_groups(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Version 1 first: where it has the memory controller, version 2 counts nothing."""
    groups = [line.split(":", 2)[1:] for line in lines]
    return sorted(((names, path) for names, path in groups if names in _FILES), reverse=True)


def _counts(file: Path) -> bool:
    with suppress(OSError):
        return b"oom_kill " in file.read_bytes()
    return False
