"""The clocks of a callback state (`.waitForTaskToken`).

AWS fails the state with `States.HeartbeatTimeout` when no SendTaskHeartbeat came for `HeartbeatSeconds`; takes JSONata
for both clocks, counts them from the state's start, and fails the state at once when the Lambda it invokes fails. A
token that was answered once, or whose execution was stopped, is closed: later answers get `TaskTimedOut`.

MiniStack ignores `HeartbeatSeconds`, takes only a number for `TimeoutSeconds`, counts it from the end of the Lambda's
call, swallows the Lambda's error and then waits for ever, lets a second answer replace the first, and takes answers
for a stopped execution.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

CLOCKS = ("TimeoutSeconds", "HeartbeatSeconds")
FOREVER = float("inf")

_token_in_hand: ContextVar[str | None] = ContextVar("_token_in_hand", default=None)
_execution_in_hand: ContextVar[dict[str, Any] | None] = ContextVar("_execution_in_hand", default=None)
_answering = threading.Lock()
"""Held while a token is answered, so that exactly one of an answer and a clock wins."""
_waiting: dict[str, dict[str, Any]] = {}
"""The execution that each token belongs to."""


@dataclass(frozen=True)
class Clocks:
    """When a callback state is over, on the monotonic clock."""

    times_out_at: float
    heartbeat_seconds: float

    def next_end(self, last_beat: float) -> tuple[float, str]:
        beat_due = last_beat + self.heartbeat_seconds
        if beat_due < self.times_out_at:
            return beat_due, "States.HeartbeatTimeout"
        return self.times_out_at, "States.Timeout"


def apply() -> None:
    from ministack.services import stepfunctions as sfn

    sfn._execute_task = with_clocks_evaluated(sfn, sfn._execute_task)
    sfn._invoke_with_callback = with_clocks_running(sfn, sfn._invoke_with_callback)
    sfn._call_lambda = failing_its_token(sfn, sfn._call_lambda)
    sfn._send_task_success = answering_once(sfn, sfn._send_task_success)
    sfn._send_task_failure = answering_once(sfn, sfn._send_task_failure)
    sfn._send_task_heartbeat = answering_once(sfn, beating(sfn, sfn._send_task_heartbeat))


def with_clocks_evaluated(sfn: Any, execute_task: Callable[..., Any]) -> Callable[..., Any]:
    def execute(state: dict[str, Any], raw_input: Any, execution: Any, context: Any) -> Any:
        if sfn._state_query_language(state, context) == "JSONata":
            clocks = {
                clock: sfn._jsonata_state_field(state, clock, "number", raw_input, context)
                for clock in CLOCKS
                if isinstance(state.get(clock), str)
            }
            state = {**state, **clocks}
        in_hand = _execution_in_hand.set(execution)
        try:
            return execute_task(state, raw_input, execution, context)
        finally:
            _execution_in_hand.reset(in_hand)

    return execute


def with_clocks_running(sfn: Any, invoke_with_callback: Callable[..., Any]) -> Callable[..., Any]:
    def invoke(resource: str, input_data: Any, token: str, state: dict[str, Any]) -> Any:
        started = time.monotonic()
        clocks = Clocks(started + state.get("TimeoutSeconds", FOREVER), state.get("HeartbeatSeconds", FOREVER))
        over = threading.Event()
        watch = threading.Thread(target=_watch, args=(sfn, token, clocks, started, over), daemon=True)
        in_hand = _token_in_hand.set(token)
        _waiting[token] = _execution_in_hand.get() or {}
        watch.start()
        try:
            return invoke_with_callback(resource, input_data, token, state)
        finally:
            over.set()
            _waiting.pop(token, None)
            _token_in_hand.reset(in_hand)

    return invoke


def _watch(sfn: Any, token: str, clocks: Clocks, started: float, over: threading.Event) -> None:
    while True:
        # The token may not be registered yet at the first look: the state's start stands for its first beat.
        info = sfn._task_tokens.get(token) or {}
        ends_at, error = clocks.next_end(info.get("beat", started))
        if ends_at == FOREVER:
            return
        if over.wait(max(0.0, ends_at - time.monotonic())):
            return
        with _answering:
            info = sfn._task_tokens.get(token) or {}
            if time.monotonic() >= clocks.next_end(info.get("beat", started))[0]:
                _fail(info, error, "The state's time was up before it was called back.")
                return


def failing_its_token(sfn: Any, call_lambda: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return call_lambda(*arguments, **named)
        except sfn._ExecutionError as error:
            with _answering:
                _fail(sfn._task_tokens.get(_token_in_hand.get()) or {}, error.error, error.cause)
            raise

    return call


def _fail(info: dict[str, Any], error: str, cause: str) -> None:
    if info and not info["event"].is_set():
        info["error"] = {"Error": error, "Cause": cause}
        info["event"].set()


def answering_once(sfn: Any, answer: Callable[..., Any]) -> Callable[..., Any]:
    def answer_once(data: dict[str, Any]) -> Any:
        from ministack.core.responses import error_response_json

        with _answering:
            info = sfn._task_tokens.get(data.get("taskToken"))
            if info and (info["event"].is_set() or _waiting.get(data["taskToken"], {}).get("status") == "ABORTED"):
                return error_response_json("TaskTimedOut", "The task is already closed.", 400)
            return answer(data)

    return answer_once


def beating(sfn: Any, send_task_heartbeat: Callable[..., Any]) -> Callable[..., Any]:
    def beat(data: dict[str, Any]) -> Any:
        info = sfn._task_tokens.get(data.get("taskToken"))
        if info:
            info["beat"] = time.monotonic()
        return send_task_heartbeat(data)

    return beat
