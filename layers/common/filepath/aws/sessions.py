"""Sessions in the table. Each write that moves one carries, as its condition, what must still be so.

`wakeToken` is the Step Functions callback that the session's machine waits on, `wakeEntered` when that wait began: an
invocation that AWS delivers late never puts its token over a newer one's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from filepath import ids
from filepath.aws import credits, keys, records, table
from filepath.aws.idempotency import IdempotencyKey, kept
from filepath.aws.table import ConditionFailed, Delete, Item, Key, Put, TransactionRefused, Update, Write
from filepath.background import Background
from filepath.errors import InsufficientCredits, QuotaExceeded
from filepath.session import (
    OPEN,
    Reason,
    Session,
    SessionStatus,
    WaitState,
    active_since,
    debounce,
    seconds,
)
from filepath.settings import settings


def get(session_id: str) -> Session | None:
    item = table.get(keys.session(session_id))
    return _session(item) if item else None


def environment(session_id: str) -> dict[str, str]:
    item = table.get(keys.session_env(session_id))
    return dict(item["env"]) if item else {}


def owned_by(user_id: str, after: str | None, limit: int) -> tuple[list[Session], str | None]:
    """Newest first, and where to go on. Who is listed lags by moments, what is shown of them does not."""
    owner = f"{user_id}#sessions"
    position = {**keys.session(after), "ownerPk": owner, "ownerSk": after} if after else None
    page = table.query(owner, index=keys.OWNER, after=position, limit=limit, backwards=True)
    found = [_session(item) for item in table.get_many([_key(item) for item in page.items])]
    return found, page.last["ownerSk"] if page.last else None


def live() -> Iterator[Session]:
    """Those that are not over, for reconcile."""
    found = [_key(item) for item in table.query_all(keys.LIVE_SESSIONS, index=keys.LIVE)]
    yield from map(_session, table.get_many(found))


def create(
    session: Session, env: Mapping[str, str], answer: Mapping[str, object], idempotency: IdempotencyKey | None
) -> None:
    """Counts the sandbox and creates the session. Raises QuotaExceeded, InsufficientCredits, or, where the same
    Idempotency-Key got there first, TransactionRefused with the position of the last write.
    """
    limits = settings()
    writes: list[Write] = [
        credits.sandbox_counted(session.user_id, limits.sandboxes_per_account),
        credits.stack_counted(limits.sandboxes_per_stack),
        Put(
            {
                **keys.session(session.session_id),
                **records.item_of(session),
                "background": None,  # until there is any
                "ownerPk": f"{session.user_id}#sessions",
                "ownerSk": session.session_id,
                "livePk": keys.LIVE_SESSIONS,
                "liveSk": session.session_id,
            },
            new=True,
        ),
        Put({**keys.session_env(session.session_id), "env": env}),
        *kept(idempotency, answer, session.created_at),
    ]
    try:
        table.transact(writes)
    except TransactionRefused as error:
        if not (idempotency and len(writes) - 1 in error.refused):
            _explain(error, session.user_id)
        raise


def _explain(error: TransactionRefused, user_id: str) -> None:
    """Raises what a refused creation means to the caller."""
    if 0 in error.refused:
        if credits.account(user_id).balance <= 0:
            raise InsufficientCredits(
                "A session needs credits on the account, and there are none. Ask the owner for a grant."
            ) from error
        raise QuotaExceeded(
            "This account runs as many sandboxes as it may. Close a session, or wait for one to end.",
            retry_after=30,
        ) from error
    if 1 in error.refused:
        raise QuotaExceeded("All sandboxes of this stack are in use. Try again later.", retry_after=60) from error


# Launching


def launch(session_id: str, token: str) -> Session | None:
    """The session with the token its sandbox is to show: `token`, unless an earlier try noted one, since every try
    must start the same. None where there is nothing to launch any more.
    """
    return _changed(
        session_id,
        condition="#status = :starting AND attribute_not_exists(#instance)",
        default={"token": token, "tokenHash": ids.hashed(token)},
        values={"starting": SessionStatus.STARTING},
    )


def launched(session_id: str, task_arn: str) -> Session | None:
    return _changed(session_id, condition="attribute_exists(pk)", set={"taskArn": task_arn})


def bind(session_id: str, token: str, instance: str) -> Session | None:
    """Lets in the first agent that shows the token, and nobody else from then on: RunTask's overrides, where the
    token travelled, can be read by whoever may describe tasks.
    """
    return _changed(
        session_id,
        condition="#tokenHash = :hash AND attribute_not_exists(#gone)"
        " AND (attribute_not_exists(#instance) OR #instance = :instance)",
        set={"instance": instance},
        remove=["token"],
        values={"hash": ids.hashed(token), "instance": instance},
    )


def connected(session_id: str, instance: str, address: str, now: int) -> Session | None:
    """The session with `address` as where its agent is reached; None where the agent is not, or no more, its own."""
    return _changed(
        session_id,
        condition="#instance = :instance AND attribute_not_exists(#gone)",
        set={"connectionId": address, "lastHeard": now},
        values={"instance": instance},
    )


def ready(session_id: str, now: int) -> Session | None:
    """The session for the one hello that made it ready, with the token that stands there then; None for others."""
    return _changed(
        session_id,
        condition="#status = :starting",
        set={"status": SessionStatus.READY, "readyAt": now, "lastActive": now},
        values={"starting": SessionStatus.STARTING},
    )


def disconnected(session_id: str, address: str) -> None:
    """Forgets a connection, unless another has taken its place: a `$disconnect` may come late."""
    _changed(
        session_id,
        condition="#connectionId = :address",
        remove=["connectionId"],
        values={"address": address},
    )


def heard(session_id: str, address: str, now: int) -> Session | None:
    """Notes that its agent spoke, and `address` as where it is reached where no other is known: in one write, since a
    hello over another connection may come at any moment. None once the sandbox is known to be gone."""
    return _changed(
        session_id,
        condition="attribute_exists(pk) AND attribute_not_exists(#gone)",
        set={"lastHeard": now},
        default={"connectionId": address},
    )


def left_running(session: Session, now_known: Background, now: int) -> bool:
    """Keeps what its agent told of what tasks left running, and charges what that adds, in one. False where it cannot
    be so any more: the session ends, another report came first, or the credits are gone."""
    before = session.background
    seen = "#background.#report = :report" if before.report else "attribute_not_exists(#background)"
    writes: list[Write] = [
        Update(
            keys.session(session.session_id),
            condition=f"#status = :ready AND {seen}",
            set={"background": records.item_of(now_known), "lastHeard": now},
            values={"ready": SessionStatus.READY, **({"report": before.report} if before.report else {})},
        )
    ]
    if paid := now_known.charged - before.charged:
        workflow_id = ids.session_workflow_id(session.session_id)
        writes.append(credits.charged(session.user_id, paid))
        writes.append(credits.entered(session.user_id, now, workflow_id, "background", -paid))
    try:
        table.transact(writes)
    except TransactionRefused:
        return False
    return True


# Waiting and waking


def awaits(session_id: str, state: WaitState, token: str, entered: int) -> Session | None:
    """Stores what its machine waits on and returns the session as it is then: who stores a token must look whether
    the fact it waits for is there already. None where a later wait has begun.
    """
    return _changed(
        session_id,
        condition="attribute_exists(pk) AND (attribute_not_exists(#wakeEntered) OR #wakeEntered <= :entered)",
        set={"wakeToken": token, "wakeEntered": entered, "wakeState": state},
        values={"entered": entered},
    )


def active(session: Session, now: int) -> bool:
    """True for the one activity in each debounce that is to beat the session's alarm."""
    before = now - seconds(debounce(session.idle_seconds))
    if session.last_active > before:
        return False  # it only grows: a write that would be refused costs as much as another
    changed = _changed(
        session.session_id,
        condition="#status IN (:starting, :ready) AND #lastActive <= :before",
        set={"lastActive": now},
        values={**_OPEN, "before": before},
    )
    return changed is not None


# Ending

_OPEN = {status.value: status for status in OPEN}


def close(session_id: str, reason: Reason, now: int) -> Session | None:
    """Writes that the session is to end; None where that stands already, or it is over."""
    return _changed(
        session_id,
        condition="#status IN (:starting, :ready)",
        set={"status": SessionStatus.CLOSING, "reason": reason, "closingAt": now},
        values=_OPEN,
    )


def close_if_idle(session: Session, now: int) -> Session | None:
    """The same, only while no task is open and nothing happened for the idle time; None where something did."""
    return _changed(
        session.session_id,
        condition="#status IN (:starting, :ready) AND attribute_not_exists(#openTasks) AND #lastActive <= :since",
        set={"status": SessionStatus.CLOSING, "reason": Reason.IDLE, "closingAt": now},
        values={**_OPEN, "since": active_since(session, now)},
    )


def gone(session_id: str, reason: Reason) -> Session | None:
    """Writes that its sandbox does not run any more, as the first to know; None where it was known."""
    return _changed(
        session_id,
        condition="attribute_exists(pk) AND attribute_not_exists(#gone)",
        set={"gone": reason},
        remove=["connectionId"],
    )


def finish(session: Session, status: SessionStatus, now: int) -> bool:
    """The end, once no task is open: the sandbox is counted off, secrets are forgotten. False where somebody did it
    before, or a task is not settled yet.
    """
    writes: list[Write] = [
        Update(
            keys.session(session.session_id),
            condition="#status = :closing AND attribute_not_exists(#openTasks)",
            set={
                "status": status,
                "closedAt": now,
                "expiresAt": settings().kept_until(now),
            },
            remove=["livePk", "liveSk", "token", "tokenHash", "wakeToken", "wakeState", "connectionId"],
            values={"closing": SessionStatus.CLOSING},
        ),
        credits.sandbox_released(session.user_id),
        credits.stack_released(),
        Delete(keys.session_env(session.session_id)),
    ]
    try:
        table.transact(writes)
    except TransactionRefused:
        return False
    return True


def _changed(
    session_id: str,
    *,
    condition: str,
    values: Mapping[str, Any] | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - the clause's name
    default: Mapping[str, Any] | None = None,
    remove: Sequence[str] = (),
) -> Session | None:
    """The session as it is afterwards; None where the condition does not hold."""
    write = Update(
        keys.session(session_id),
        condition=condition,
        values=values or {},
        set=set or {},
        default=default or {},
        remove=remove,
    )
    try:
        return _session(table.update(write))
    except ConditionFailed:
        return None


def _key(item: Item) -> Key:
    return {"pk": item["pk"], "sk": item["sk"]}


def _session(item: Item) -> Session:
    arguments = records.fields_of(Session, item)
    arguments["status"] = SessionStatus(item["status"])
    arguments |= {name: Reason(item[name]) for name in ("reason", "gone") if name in item}
    arguments |= {"background": Background(**records.fields_of(Background, item.get("background", {})))}
    arguments |= {"wake_state": WaitState(item["wakeState"])} if "wakeState" in item else {}
    return Session(**arguments)
