"""Run commands in sandboxes on your own AWS account.

    with Filepath() as fp, fp.sessions.create() as session:
        print(session.run("make test").stdout)

    async with AsyncFilepath() as fp, fp.sessions.create() as session:
        print((await session.run("make test")).stdout)

Names are imported when they are first used: the command line starts without the HTTP library, which costs
more than all the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from filepath_sdk._version import __version__
from filepath_sdk.errors import (
    ClientClosed,
    CommandFailed,
    Conflict,
    FilepathError,
    Forbidden,
    InsufficientCredits,
    InvalidRequest,
    NotConfigured,
    NotFound,
    QuotaExceeded,
    RateLimited,
    SessionClosed,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unreachable,
    WaitTimeout,
)

if TYPE_CHECKING:
    from filepath_sdk.aio.client import AsyncFilepath
    from filepath_sdk.aio.session import AsyncSession
    from filepath_sdk.aio.task import AsyncTask
    from filepath_sdk.client import Filepath
    from filepath_sdk.models import (
        ApiKey,
        Credits,
        OutputEvent,
        ProgressEvent,
        Result,
        SessionInfo,
        StatusEvent,
        TaskEvent,
        TaskInfo,
        TaskStatus,
        Usage,
        UsageRow,
    )
    from filepath_sdk.session import Session
    from filepath_sdk.task import Task

_HOMES = {
    "AsyncFilepath": "aio.client",
    "AsyncSession": "aio.session",
    "AsyncTask": "aio.task",
    "Filepath": "client",
    "Session": "session",
    "Task": "task",
    "ApiKey": "models",
    "Credits": "models",
    "OutputEvent": "models",
    "ProgressEvent": "models",
    "Result": "models",
    "SessionInfo": "models",
    "StatusEvent": "models",
    "TaskEvent": "models",
    "TaskInfo": "models",
    "TaskStatus": "models",
    "Usage": "models",
    "UsageRow": "models",
}

__all__ = [
    "ApiKey",
    "AsyncFilepath",
    "AsyncSession",
    "AsyncTask",
    "ClientClosed",
    "CommandFailed",
    "Conflict",
    "Credits",
    "Filepath",
    "FilepathError",
    "Forbidden",
    "InsufficientCredits",
    "InvalidRequest",
    "NotConfigured",
    "NotFound",
    "OutputEvent",
    "ProgressEvent",
    "QuotaExceeded",
    "RateLimited",
    "Result",
    "Session",
    "SessionClosed",
    "SessionInfo",
    "StatusEvent",
    "Task",
    "TaskEvent",
    "TaskInfo",
    "TaskStatus",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "Usage",
    "UsageRow",
    "WaitTimeout",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
