"""AsyncFilepath is Filepath, awaited: the same names, parameters, results and words."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from filepath_sdk import AsyncFilepath, AsyncSession, AsyncTask, Filepath, Session, Task
from filepath_sdk.aio.client import AsyncKeys, AsyncSessions, AsyncTasks
from filepath_sdk.aio.task import AsyncWatch
from filepath_sdk.client import Keys, Sessions, Tasks
from filepath_sdk.task import Watch

PAIRS = [
    (Filepath, AsyncFilepath),
    (Keys, AsyncKeys),
    (Sessions, AsyncSessions),
    (Tasks, AsyncTasks),
    (Session, AsyncSession),
    (Task, AsyncTask),
    (Watch, AsyncWatch),
]
OF_ONE_ONLY = {
    "interrupt",  # for handlers of signals; what a coroutine does is cancelled
}


def public(kind: type) -> dict[str, Any]:
    members = {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}
    members["__init__"] = kind.__init__  # type: ignore[misc]
    return {name: member for name, member in members.items() if name not in OF_ONE_ONLY}


def surface(member: Any) -> str:
    """A signature with what awaiting adds taken away."""
    if isinstance(member, property):
        member = member.fget
    return re.sub(r"Opening\[(\w+)\]", r"\1", str(inspect.signature(member)).replace("Async", ""))


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_both_clients_have_the_same_names_and_signatures(blocking: type, awaited: type) -> None:
    of_blocking = {name: surface(member) for name, member in public(blocking).items()}
    of_awaited = {name: surface(member) for name, member in public(awaited).items()}
    assert of_awaited == of_blocking


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_every_public_method_of_both_says_what_it_does(blocking: type, awaited: type) -> None:
    for kind in (blocking, awaited):
        silent = [name for name, member in public(kind).items() if inspect.isfunction(member) and not member.__doc__]
        assert silent == ["__init__"] or not silent
        assert kind.__doc__
