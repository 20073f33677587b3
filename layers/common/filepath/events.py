"""What clients are told: `progress` notifications about sessions and tasks. Pure.

An event may be lost, doubled or overtaken. None carries anything that cannot be read again by its offset or id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from filepath import clock, ids
from filepath.background import Background
from filepath.protocol import EVENT_LIMIT, Chunk, notification, text_or_base64
from filepath.session import Session
from filepath.task import Task

_PIECES_A_CHUNK = 8
"""Changes of stream up to which a chunk goes out piece by piece; beyond, clients read it by its offset."""


def output(task_ids: tuple[str, str], chunk: Chunk, now: int) -> Iterator[str]:
    """One event for each piece of the chunk; a single one without data where that is too much for one message."""
    workflow_id, session_id = task_ids
    pieces = list(chunk.pieces())
    if len(pieces) > _PIECES_A_CHUNK or len(chunk.data) > EVENT_LIMIT:
        whole = {"status": "running", "offset": chunk.offset, "bytes": len(chunk.data)}
        yield _event(workflow_id, session_id, "output", now, **whole)
        return
    for offset, stream, data in pieces:
        shown, encoding = text_or_base64(data)
        place = {"status": "running", "stream": stream, "offset": offset, "bytes": len(data)}
        event = _event(workflow_id, session_id, "output", now, **place, data=shown, encoding=encoding)
        if len(event.encode()) > EVENT_LIMIT:
            event = _event(workflow_id, session_id, "output", now, **place)
        yield event


def task_changed(task: Task, now: int) -> str:
    """The task's status, its progress, and, when it is over, how it ended."""
    details = {
        "progress": task.progress,
        "message": task.message,
        "exitCode": task.exit_code,
        "signal": task.signal,
        "reason": task.reason,
        "creditsCharged": task.charged,
        "outputBytes": task.output_bytes,
        "startedAt": None if task.started_at is None else clock.iso(task.started_at),
        "finishedAt": None if task.finished_at is None else clock.iso(task.finished_at),
    }
    known = {name: value for name, value in details.items() if value is not None}
    return _event(task.workflow_id, task.session_id, "status", now, status=task.status, seq=now, **known)


def session_changed(session: Session, now: int) -> str:
    workflow_id = ids.session_workflow_id(session.session_id)
    details: dict[str, Any] = {"status": session.status, "reason": session.reason, "seq": now}
    if session.background.report:
        details["background"] = _background(session.background)
    return _event(workflow_id, session.session_id, "session", now, **details)


def _background(background: Background) -> dict[str, Any]:
    return {
        "processes": background.processes,
        "since": None if background.since is None else clock.iso(background.since),
        "creditsCharged": background.charged,
        "stoppedReason": background.stopped,
    }


def _event(workflow_id: str, session_id: str, kind: str, now: int, **details: Any) -> str:
    params = {
        "workflowId": workflow_id,
        "sessionId": session_id,
        "type": kind,
        "at": clock.iso(now),
        **details,
    }
    return notification("progress", params)
