"""What separates the agent from the commands it runs: users, and what the kernel is told about both.

Nothing here knows of tasks or messages."""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_COMMAND_OOM_SCORE = 500
"""On the kernel's scale of −1000 to 1000: whatever a command's size, it is killed before the agent."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.getenv.restype = ctypes.c_void_p


_SYSTEM_CALLS = {
    "x86_64": {"setgroups": 116, "setresuid": 117, "setresgid": 119},
    "aarch64": {"setgroups": 159, "setresuid": 147, "setresgid": 149},
}.get(os.uname().machine, {})


@dataclass(frozen=True)
class User:
    """Whom commands run as. `changes` is False where the agent is not root and so cannot run them as another."""

    uid: int
    gid: int
    changes: bool

    @classmethod
    def of(cls, uid_and_gid: str | None) -> User:
        """`uid:gid`, 1000:1000 unless said otherwise."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), changes=False)
        uid, _, gid = (uid_and_gid or "1000:1000").partition(":")
        if not (uid.isdecimal() and gid.isdecimal()) or int(uid) == 0:
            raise ValueError("uid:gid in numbers is expected, and not root")
        return cls(int(uid), int(gid), changes=True)

    @property
    def name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return "user"

    def own(self, file: int) -> None:
        """Else a command may use a pipe that it has, and not open it by its name: `echo >/dev/stderr`."""
        if self.changes:
            os.fchown(file, self.uid, self.gid)

    @contextmanager
    def worn_by_this_thread(self) -> Iterator[None]:
        """What is started inside runs as this user, and for good: exec drops the saved ids that lead back.

        subprocess's own change of user happens between fork and exec, where it must copy the agent; this needs only a
        vfork, which takes a tenth of the time. The kernel keeps ids by thread (only the C library makes all threads
        change together), so no other thread is this user meanwhile: least of all the first one, whose ids decide who
        may send the agent a signal."""
        if not self.changes:
            yield
            return
        gid, groups = os.getegid(), os.getgroups()
        try:
            _of_this_thread("setgroups", 0, None)
            _of_this_thread("setresgid", self.gid, self.gid, gid)
            _of_this_thread("setresuid", self.uid, self.uid, 0)
            yield
        finally:
            _of_this_thread("setresuid", 0, 0, 0)  # first: the right to the others comes with it
            _of_this_thread("setresgid", gid, gid, gid)
            _of_this_thread("setgroups", len(groups), (ctypes.c_uint32 * len(groups))(*groups))


def harden() -> None:
    """For this process and for good: nobody else's eyes on it, no new privileges for it or any child, and every
    process that loses its parent becomes its child."""
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def erase_from_proc(name: str) -> None:
    """Overwrites the variable's value where the kernel put it, which /proc/PID/environ shows for as long as the
    process lives, whatever unsetenv does."""
    address = _libc.getenv(name.encode())
    if address:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))


class OutOfMemoryOrder:
    """Makes children more likely to be killed than the agent when memory runs out.

    A child inherits the score, so it is raised around the fork: set afterwards, it would miss what the child forked
    first. Lowering it again needs no privilege, as it never goes below where it started."""

    def __init__(self) -> None:
        # Opened before harden(): for an agent that is not root, its own /proc files are root's afterwards.
        self._file = -1
        with suppress(OSError):
            self._file = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
            self._own = os.read(self._file, 16)

    @contextmanager
    def children_first(self) -> Iterator[None]:
        if self._file < 0 or int(self._own) >= _COMMAND_OOM_SCORE:
            yield
            return
        os.pwrite(self._file, str(_COMMAND_OOM_SCORE).encode(), 0)
        try:
            yield
        finally:
            os.pwrite(self._file, self._own, 0)


def _of_this_thread(name: str, *arguments: object) -> None:
    if _libc.syscall(_SYSTEM_CALLS[name], *arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name} failed")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) failed")
