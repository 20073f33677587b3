"""Which processes descend from a command, as /proc tells it.

A child that left its session (`setsid`) and lost its parent becomes the agent's own child, the subreaper's, and looks
like any other task's. So each command is started with a mark that every descendant inherits and that outlives fork,
exec, setsid and a cleared environment: the soft limit on POSIX message queues, which the agent itself has no use for.
(Grid engines mark jobs with a supplementary group; that needs a root whom user namespaces do not have, and shows in
`id`.) /proc/PID/limits is readable without CAP_SYS_PTRACE, which Fargate does not give; /proc/PID/environ is not."""

from __future__ import annotations

import os
import resource
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

_MARKED_LIMIT = b"Max msgqueue size"
_TRACER = b"TracerPid:"
_PROCESS = b"Tgid:"
_UNLIMITED_MARKS = 1 << 30
_THREADS = 17
"""Which of the fields of /proc/PID/stat, behind the name, counts the threads."""


@dataclass(frozen=True)
class Relation:
    """One process's place among the others."""

    pid: int
    is_zombie: bool
    parent: int
    group: int
    session: int


class Marks:
    """Hands out marks, no two of which are alike among the commands that live."""

    def __init__(self) -> None:
        self._soft, self._hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        unlimited = self._hard == resource.RLIM_INFINITY
        self._count = _UNLIMITED_MARKS if unlimited else self._hard
        self._last = 0

    @contextmanager
    def next(self) -> Iterator[int | None]:
        """The mark of what is forked inside; None where the machine allows no marks."""
        if self._count < 2:
            yield None
            return
        self._last = self._last % (self._count - 1) + 1
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (self._last, self._hard))
        try:
            yield self._last
        finally:
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (self._soft, self._hard))


def members(leader: int, mark: int | None, leaders: Collection[int]) -> list[Relation]:
    """The living processes of the command whose first process is or was `leader`, and who keeps that from being waited
    for. `leaders` are the first processes of all commands that are not over yet."""
    roots = _roots(leader, mark, leaders)
    if not roots:
        return []
    relations = _all()
    # Again, and last: whoever lost its parent during that long read is below nobody there, but the agent's child now.
    found = _living(relations, roots | _roots(leader, mark, leaders))
    if leader in leaders and leader in relations and relations[leader].is_zombie:
        found += _tracer(leader, found)
    return found


def strays(commands: Collection[tuple[int, int | None]]) -> list[Relation]:
    """The living descendants of the agent that belong to none of these commands, each told by its first process and
    its mark."""
    roots = _stray_roots(commands)
    return _living(_all(), roots | _stray_roots(commands)) if roots else []


def descendants() -> list[Relation]:
    """All living descendants of the agent."""
    return _living(_all(), set(_children()))


def _roots(leader: int, mark: int | None, leaders: Collection[int]) -> set[int]:
    """The agent's children that the command's other processes descend from."""
    own = {leader} if leader in leaders else set()
    return own | {pid for pid in _children() if pid not in leaders and _belongs(pid, leader, mark)}


def _stray_roots(commands: Collection[tuple[int, int | None]]) -> set[int]:
    leaders = {leader for leader, _ in commands}
    return {
        pid
        for pid in _children()
        if pid not in leaders and not any(_belongs(pid, leader, mark) for leader, mark in commands)
    }


def _belongs(pid: int, leader: int, mark: int | None) -> bool:
    relation = _relation(pid)
    return relation is not None and (relation.session == leader or (mark is not None and _mark_of(pid) == mark))


def _tracer(zombie: int, known: Collection[Relation]) -> list[Relation]:
    """Who traces it, if that is a descendant of the agent and not known already. The kernel shows a process that has
    ended to its tracer alone, for as long as it likes, and every command's process can trace another one's."""
    thread = _status(zombie, _TRACER)
    tracer = _status(thread, _PROCESS) if thread else 0
    return [one for one in descendants() if one.pid == tracer and one not in known] if tracer else []


def _living(relations: dict[int, Relation], roots: set[int]) -> list[Relation]:
    children: dict[int, list[int]] = {}
    for relation in relations.values():
        children.setdefault(relation.parent, []).append(relation.pid)
    found, queue = set(), list(roots)
    while queue:
        pid = queue.pop()
        queue.extend(children.get(pid, ()))
        if pid in relations and not relations[pid].is_zombie:
            found.add(relations[pid])
    return list(found)


def _all() -> dict[int, Relation]:
    relations = (_relation(int(name)) for name in os.listdir("/proc") if name.isdecimal())
    return {relation.pid: relation for relation in relations if relation}


def _relation(pid: int) -> Relation | None:
    stat = _read(f"/proc/{pid}/stat")
    if not stat:
        return None
    # The name is in parentheses and may hold any character, parentheses too.
    state, parent, group, session, *others = stat[stat.rindex(b")") + 2 :].split(b" ", _THREADS + 1)
    # The state is the first thread's. A process whose first thread has ended lives on in the others.
    is_zombie = state in b"ZX" and int(others[_THREADS - 4]) <= 1
    return Relation(pid, is_zombie, int(parent), int(group), int(session))


def _children() -> list[int]:
    """The agent's own children. One short read in nearly every case: this is asked at the end of every command."""
    own = os.getpid()
    lists = [_read(f"/proc/{own}/task/{thread}/children") for thread in os.listdir(f"/proc/{own}/task")]
    if any(known is None for known in lists):  # a kernel without CONFIG_PROC_CHILDREN
        return [relation.pid for relation in _all().values() if relation.parent == own]
    return [int(pid) for known in lists if known for pid in known.split()]


def _status(pid: int, name: bytes) -> int:
    """A number that /proc/PID/status gives of a process or of one of its threads; 0 where it gives none."""
    for line in (_read(f"/proc/{pid}/status") or b"").splitlines():
        if line.startswith(name):
            return int(line.removeprefix(name))
    return 0


def _mark_of(pid: int) -> int | None:
    for line in (_read(f"/proc/{pid}/limits") or b"").splitlines():
        if line.startswith(_MARKED_LIMIT):
            soft = line.removeprefix(_MARKED_LIMIT).split()[0]
            return int(soft) if soft.isdigit() else None
    return None


def _read(path: str) -> bytes | None:
    """Without a file object around it: this is read several times at the end of every command."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return b"".join(iter(partial(os.read, file, 64 * 1024), b""))
    except OSError:
        return None
    finally:
        os.close(file)
