"""What this machine's kernel says of processes that it killed for want of memory.

For engines that do not notice: podman of Debian 12 sees no such end in control groups of version 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_KILL = re.compile(r";oom-kill:.*\btask_memcg=(?P<group>[^,]*),.*\buid=(?P<uid>\d+)")
_RECORD_SIZE = 8192


def was_root_killed_for_memory(container_id: str, log: Path = Path("/dev/kmsg")) -> bool:
    """In this container, whose control group has its id in its name: its agent is root, its commands are not."""
    kills = (_KILL.search(record) for record in _records(log))
    return any(kill and container_id in kill["group"] and kill["uid"] == "0" for kill in kills)


def _records(log: Path) -> Iterator[str]:
    """All there are now; none where they are kept from this user."""
    with suppress(OSError):
        file = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield from _read_all(file)
        finally:
            os.close(file)


def _read_all(file: int) -> Iterator[str]:
    while True:
        try:
            record = os.read(file, _RECORD_SIZE)
        except BrokenPipeError:
            continue  # overwritten by newer ones, which follow
        if not record:
            return
        yield record.decode(errors="replace")
