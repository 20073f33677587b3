"""Signals as something to read, on whichever thread the event loop runs.

Python runs handlers on the first thread alone, and asyncio brings what they say to its loop through a pair of sockets,
twice. Here one read tells of a command's end."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

HEARD = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)

_RECORD_SIZE = 128
"""Of struct signalfd_siginfo, which begins with the signal's number in four bytes."""
_WORDS = 1024 // (8 * ctypes.sizeof(ctypes.c_ulong))
"""Of sigset_t."""

_libc = ctypes.CDLL(None, use_errno=True)


def hold() -> None:
    """Keeps them from whatever they would do by themselves, in this thread and in all that it starts: to be called
    before there is another. Commands get a mask of their own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)


class Signals:
    """Calls what is to be done about each of HEARD, on this event loop. Several of a kind may come as one."""

    def __init__(self, handlers: Mapping[int, Callable[[], None]]) -> None:
        self._handlers = handlers
        self._file = _opened()
        asyncio.get_running_loop().add_reader(self._file, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            records = os.read(self._file, 16 * _RECORD_SIZE)
            for at in range(0, len(records), _RECORD_SIZE):
                self._handlers[int.from_bytes(records[at : at + 4], sys.byteorder)]()


def _opened() -> int:
    wanted = (ctypes.c_ulong * _WORDS)(sum(1 << number - 1 for number in HEARD))
    file: int = _libc.signalfd(-1, wanted, os.O_CLOEXEC | os.O_NONBLOCK)  # SFD_CLOEXEC and SFD_NONBLOCK are the same
    if file < 0:
        raise OSError(ctypes.get_errno(), "signalfd failed")
    return file
