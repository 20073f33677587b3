"""Tasks in the table, each in its session's partition; what it is to run lies apart, so that the item stays small."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from filepath.aws import credits, keys, logs, objects, records, table
from filepath.aws.idempotency import IdempotencyKey, kept
from filepath.aws.logs import Log
from filepath.aws.table import ConditionFailed, Item, Put, TransactionRefused, Update, Write
from filepath.credit import charge_for
from filepath.errors import FilepathError, InsufficientCredits, QuotaExceeded, SessionClosed, Unauthenticated
from filepath.protocol import End
from filepath.session import MAX_OPEN_TASKS, OPEN, Session
from filepath.settings import settings
from filepath.task import Outcome, Task, TaskStatus

_INLINE_INPUTS = 16 * 1024
"""Encoded bytes of command, environment and stdin kept in the table: with them an exec fits well in one message."""
_OPEN_TASK_STATUS: Mapping[str, str] = {"queued": TaskStatus.QUEUED, "running": TaskStatus.RUNNING}
_NOT_OVER = "#status IN (:queued, :running)"
_UNSTARTED = " AND attribute_not_exists(#startedAt)"


def get(workflow_id: str) -> Task | None:
    item = table.get(keys.task(workflow_id))
    return _task(item) if item else None


def with_log(workflow_id: str) -> tuple[Task | None, Log]:
    task, log = table.get_each([keys.task(workflow_id), keys.log(workflow_id)])
    return _task(task) if task else None, logs.log_of(log)


def get_many(workflow_ids: Iterable[str]) -> list[Task]:
    return [_task(item) for item in table.get_many([keys.task(workflow_id) for workflow_id in workflow_ids])]


def of_session(session_id: str, after: str | None, limit: int) -> tuple[list[Task], str | None]:
    """Newest first, and where to go on."""
    position = keys.task(after) if after else None
    page = table.query(keys.session_partition(session_id), prefix="TASK#", after=position, limit=limit, backwards=True)
    found = [_task(item) for item in page.items]
    return found, found[-1].workflow_id if page.last else None


def owned_by(user_id: str, after: str | None, limit: int) -> tuple[list[Task], str | None]:
    owner = f"{user_id}#tasks"
    position = None
    if after:
        after_time, after_id = after.split("~")
        position = {**keys.task(after_id), "ownerPk": owner, "ownerSk": f"{after_time}~{after_id}"}
    page = table.query(owner, index=keys.OWNER, after=position, limit=limit, backwards=True)
    found = table.get_many([{"pk": item["pk"], "sk": item["sk"]} for item in page.items])
    return [_task(item) for item in found], page.last["ownerSk"] if page.last else None


def inputs(task: Task) -> dict[str, Any]:
    """`command`, `env`, `cwd` and `stdin` of a task."""
    if task.inputs_key:
        loaded: dict[str, Any] = json.loads(objects.read(task.inputs_key))
        return loaded
    item = table.get(keys.inputs(task.workflow_id))
    return json.loads(item["inputs"]) if item else {}


def submit(
    task: Task, inputs: Mapping[str, Any], answer: Mapping[str, object], idempotency: IdempotencyKey | None
) -> None:
    """Holds the credits and queues the task, or does neither. Raises InsufficientCredits, SessionClosed,
    QuotaExceeded, or TransactionRefused where the same Idempotency-Key got there first.
    """
    encoded = json.dumps(inputs, ensure_ascii=False)
    inline = len(encoded.encode()) <= _INLINE_INPUTS
    inputs_key = None if inline else f"inputs/{task.workflow_id}.json"
    if inputs_key:
        _refuse_early(task)
        objects.write(inputs_key, encoded.encode())
    writes: list[Write] = [
        credits.held(task.user_id, task.held),
        _opened(task),
        *([credits.held_of_key(task.user_id, task.key_id, task.held)] if task.limited and task.key_id else []),
        Put(_task_item(task, inputs_key), new=True),
        *([Put({**keys.inputs(task.workflow_id), "inputs": encoded, **_kept(task.created_at)})] if inline else []),
        *kept(idempotency, answer, task.created_at),
    ]
    try:
        table.transact(writes)
    except TransactionRefused as error:
        if not (idempotency and len(writes) - 1 in error.refused):
            _explain(error, task)
        raise


def _opened(task: Task) -> Update:
    """Counts the task as open in its session, which must take tasks and be its caller's."""
    return Update(
        keys.session(task.session_id),
        condition="#status IN (:starting, :ready) AND attribute_not_exists(#gone) AND #userId = :user"
        " AND (attribute_not_exists(#openTasks) OR size(#openTasks) < :limit)",
        add={"openTasks": {task.workflow_id}},
        values={
            **{status.value: status for status in OPEN},
            "user": task.user_id,
            "limit": MAX_OPEN_TASKS,
        },
    )


def _refuse_early(task: Task) -> None:
    """Raises what the transaction would be refused for, before its large inputs are written beside it: a bucket takes
    no conditions. What changes in between leaves an object that nothing names, until the bucket's own time for it.
    """
    session = table.get(keys.session(task.session_id)) or {}
    is_full = len(session.get("openTasks", ())) >= MAX_OPEN_TASKS
    if session.get("status") not in OPEN or "gone" in session or is_full:
        raise _no_room(session)
    available = credits.account(task.user_id).available
    if available < task.held:
        raise _too_little(task, available)
    if task.limited and task.key_id:
        key = table.get(keys.api_key(task.user_id, task.key_id)) or {}
        if key.get("creditsLeft", 0) < task.held:
            raise _over_the_limit(task, key)


def _explain(error: TransactionRefused, task: Task) -> None:
    """Raises what a refused submission means to the caller."""
    if 1 in error.refused:
        raise _no_room(error.refused[1]) from error
    if 0 in error.refused:
        raise _too_little(task, error.refused[0].get("available", 0)) from error
    if task.limited and 2 in error.refused:
        raise _over_the_limit(task, error.refused[2]) from error


def _no_room(session: Item) -> FilepathError:
    if len(session.get("openTasks", ())) >= MAX_OPEN_TASKS:
        return QuotaExceeded(
            f"This session has {MAX_OPEN_TASKS} open tasks. Wait for one to end, or use another session.",
            retry_after=5,
        )
    return SessionClosed("This session takes no more tasks. Create a new one.")


def _too_little(task: Task, available: int) -> InsufficientCredits:
    return InsufficientCredits(
        f"This task would hold {task.held} credits, and {available} are available. Give it a shorter"
        " timeoutSeconds, wait for running tasks to end, or ask the owner for a grant.",
        details={"needed": task.held, "available": available},
    )


def _over_the_limit(task: Task, key: Item) -> FilepathError:
    if not key:
        return Unauthenticated("This key was revoked. Create another, or sign in again.")
    left, limit = key["creditsLeft"], key["creditLimit"]
    return InsufficientCredits(
        f"This task would hold {task.held} credits, and of this key's own limit of {limit} there are {left} left. Give"
        " it a shorter timeoutSeconds, wait for the key's running tasks to end, or use a key with a higher limit.",
        details={"needed": task.held, "available": left, "creditLimit": limit},
    )


# What happens to a task


def awaits(workflow_id: str, token: str, entered: int) -> Task | None:
    """Stores what its machine waits on; None where a later wait has begun, or the task is over."""
    return _updated(
        workflow_id,
        f"{_NOT_OVER} AND (attribute_not_exists(#wakeEntered) OR #wakeEntered <= :entered)",
        {"entered": entered},
        set={"wakeToken": token, "wakeEntered": entered},
    )


def dispatch(workflow_id: str) -> Task | None:
    """Gives the task to its session's sandbox: from here on only the sandbox can end it. None where it was cancelled
    first, or is over. One that was given before is given again even when cancelled since: its agent, which may never
    have got it, is the one to report its end.
    """
    return _updated(
        workflow_id,
        f"{_NOT_OVER} AND (attribute_not_exists(#cancelSignal) OR #dispatched = :true)",
        {"true": True},
        set={"dispatched": True},
    )


def started(workflow_id: str, now: int) -> Task | None:
    """None where the task is over, or is none of the session's: its agent is then to stop it."""
    return _updated(
        workflow_id,
        f"{_NOT_OVER} AND #dispatched = :true",
        {"true": True},
        set={"status": TaskStatus.RUNNING},
        default={"startedAt": now},
    )


def ended(workflow_id: str, end: End, now: int) -> Task | None:
    """Keeps the wait status; a second one changes nothing. None where the task is over."""
    return _updated(workflow_id, f"{_NOT_OVER} AND #dispatched = :true", {"true": True}, default=_end(end, now))


def exited(workflow_id: str, end: End, now: int) -> Task | None:
    """Keeps that all was reported and stored. None where the task is over."""
    return _updated(
        workflow_id,
        f"{_NOT_OVER} AND #dispatched = :true",
        {"true": True},
        set={"exited": True},
        default=_end(end, now),
    )


def overran(workflow_id: str) -> Task | None:
    """Keeps that its agent was told to stop it for its output. None where the task is over."""
    return _updated(workflow_id, f"{_NOT_OVER} AND #dispatched = :true", {"true": True}, set={"overran": True})


def _end(end: End, now: int) -> dict[str, Any]:
    started_at = {} if end.cause == "not_started" else {"startedAt": now - end.run_ms}
    return {"end": end.params(), **started_at}


def progressed(workflow_id: str, percent: int, message: str | None) -> Task | None:
    said = {} if message is None else {"message": message}
    return _updated(
        workflow_id,
        f"{_NOT_OVER} AND #dispatched = :true",
        {"true": True},
        set={"progress": percent, **said},
    )


def cancel(workflow_id: str, signal: str) -> Task | None:
    """Keeps that the task is to end; the last signal asked for counts. None where it is over."""
    return _updated(workflow_id, _NOT_OVER, {}, set={"cancelSignal": signal})


def settle(task: Task, session: Session, outcome: Outcome, output_bytes: int, now: int) -> Task | None:
    """The end of the task and of its hold, in one. None where it was settled before, or where what `outcome` was
    decided on is no more so: an exit or a start came in, its log grew."""
    charged = charge_for(outcome.run_ms, task.held)
    over = replace(
        task,
        status=outcome.status,
        reason=outcome.reason,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        message=outcome.message or task.message,
        charged=charged,
        output_bytes=output_bytes,
        finished_at=now,
        wake_token=None,
    )
    before, after = records.item_of(task), records.item_of(over)
    writes: list[Write] = [
        Update(
            keys.task(task.workflow_id),
            condition=f"{_NOT_OVER} AND #exited = :exited{_UNSTARTED if task.started_at is None else ''}",
            set={name: value for name, value in after.items() if before.get(name) != value},
            remove=["wakeToken"],
            values={**_OPEN_TASK_STATUS, "exited": task.exited},
        ),
        credits.settled(task.user_id, task.held, charged),
        Update(
            keys.session(task.session_id),
            set={"lastActive": max(now, session.last_active)},
            discard={"openTasks": {task.workflow_id}},
        ),
        _sealed(task, output_bytes),
    ]
    if charged:
        writes.append(credits.entered(task.user_id, now, task.workflow_id, "charge", -charged, task.key_id))
    writes += _given_back(task, task.held - charged)
    try:
        table.transact(writes)
    except TransactionRefused:
        return None
    return over


def _given_back(task: Task, uncharged: int) -> list[Write]:
    """To the limit of the key, while there is that key."""
    if not (task.limited and task.key_id and uncharged and table.get(keys.api_key(task.user_id, task.key_id))):
        return []
    return [credits.given_back_to_key(task.user_id, task.key_id, uncharged)]


def _sealed(task: Task, stored: int) -> Update:
    """Closes the log at the length it was read with: what comes later is refused, so that the length stays true."""
    return Update(
        keys.log(task.workflow_id),
        condition="#stored = :stored" if stored else "attribute_not_exists(#stored)",
        set={"sealed": True, **_kept(task.created_at)},
        values={"stored": stored} if stored else {},
    )


def _updated(
    workflow_id: str,
    condition: str,
    values: Mapping[str, Any],
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - the clause's name
    default: Mapping[str, Any] | None = None,
) -> Task | None:
    write = Update(
        keys.task(workflow_id),
        condition=condition,
        set=set or {},
        default=default or {},
        values={**_OPEN_TASK_STATUS, **values},
    )
    try:
        return _task(table.update(write))
    except ConditionFailed:
        return None


def _kept(created_at: int) -> dict[str, int]:
    """All of a task is kept equally long, counted from its beginning, as S3 counts for the objects among it."""
    return {"expiresAt": settings().kept_until(created_at)}


def _task_item(task: Task, inputs_key: str | None) -> Item:
    return {
        **keys.task(task.workflow_id),
        **records.item_of(task),
        **_kept(task.created_at),
        "inputsKey": inputs_key,
        "ownerPk": f"{task.user_id}#tasks",
        "ownerSk": f"{task.created_at:013d}~{task.workflow_id}",
    }


def _task(item: Item) -> Task:
    arguments = records.fields_of(Task, item)
    arguments["status"] = TaskStatus(item["status"])
    if "end" in item:
        arguments["end"] = End.of(item["end"])
    return Task(**arguments)
