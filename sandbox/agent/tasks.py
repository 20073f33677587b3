"""All tasks of the sandbox, by id: those that run, and what is to be remembered of all others.

An exec is obeyed once, however often it comes; a signal may come before its exec."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent import environment, inputs
from agent.command import Command
from agent.connection import CallFailedError, Connection, SessionClosedError
from agent.processes import Processes
from agent.progress import Inbox, Progress
from agent.protocol import Exec, Params, Signal, StdinPiece, bytes_of
from agent.task import Order, Outcome, StoppedError, Task

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

_EARLY_SIGNALS = 1000
_CANCELLED = "it was cancelled before it started"
_SHUTTING_DOWN = "the sandbox is shutting down"

log = logging.getLogger(__name__)


class Tasks:
    def __init__(
        self,
        connection: Connection,
        processes: Processes,
        inbox: Inbox,
        base_environment: Mapping[str, str],
        workspace: Path,
    ) -> None:
        self._connection = connection
        self._processes = processes
        self._inbox = inbox
        self._base_environment = base_environment
        self._workspace = workspace
        self._session: asyncio.Future[Params] = asyncio.get_running_loop().create_future()
        self._open: dict[str, Task] = {}
        self._over: dict[str, Outcome | None] = {}
        self._early_signals: dict[str, str] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._is_shutting_down = False

    def open_ids(self) -> list[str]:
        return list(self._open)

    def begin(self, session: Params) -> None:
        """The session's settings, as hello is answered with them. Commands wait for the first of these."""
        if not self._session.done():
            self._session.set_result(session)

    def execute(self, order: Exec) -> None:
        workflow_id = order.workflow_id
        if workflow_id in self._over or workflow_id in self._open:
            self._answer_again(workflow_id)
            return
        task = self._open[workflow_id] = Task(workflow_id, self._connection, self._processes, self._inbox)
        if self._is_shutting_down:
            task.terminate("shutdown", "TERM", _SHUTTING_DOWN)
        if early := self._early_signals.pop(workflow_id, None):
            task.terminate("cancelled", early, _CANCELLED)
        self._running[workflow_id] = asyncio.create_task(self._run(task, order))

    def signal(self, signal: Signal) -> None:
        task = self._open.get(signal.workflow_id)
        if task:
            task.terminate("cancelled", signal.signal, _CANCELLED)
        elif signal.workflow_id not in self._over:
            self._early_signals[signal.workflow_id] = signal.signal
            if len(self._early_signals) > _EARLY_SIGNALS:
                del self._early_signals[next(iter(self._early_signals))]

    def write(self, piece: StdinPiece) -> None:
        """Before its exec nothing is kept: the command asks for what there is when it runs."""
        if task := self._open.get(piece.workflow_id):
            task.stdin.take(piece)

    def tell_stdin(self, workflow_id: str, length: int, *, closed: bool) -> None:
        if task := self._open.get(workflow_id):
            task.stdin.told(length, closed=closed)

    def stop(self, workflow_ids: Iterable[str]) -> None:
        """Ends what the platform is done with, without a further word about it."""
        for workflow_id in workflow_ids:
            running = self._running.get(workflow_id)
            if running and not running.cancelling():
                running.cancel()

    def note(self, progress: Progress) -> None:
        if task := self._open.get(progress.workflow_id):
            task.note(progress)

    async def shut_down(self, within_seconds: float) -> None:
        """Ends all, and waits until the platform has heard the end of each."""
        self._is_shutting_down = True
        for task in self._open.values():
            task.terminate("shutdown", "TERM", _SHUTTING_DOWN)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                while self._running:
                    await asyncio.wait(self._running.values())

    async def abandon(self, within_seconds: float) -> None:
        """Ends all, and tells nobody: the platform listens no more."""
        self._is_shutting_down = True
        ending = set(self._running.values())
        self.stop(list(self._running))
        if ending:
            await asyncio.wait(ending, timeout=within_seconds)

    async def _run(self, task: Task, order: Exec) -> None:
        try:
            await task.run(partial(self._prepare, order))
        except Exception:
            log.exception("%s: it could not be reported to its end", task.workflow_id)
        finally:
            self._over[task.workflow_id] = task.outcome
            del self._open[task.workflow_id], self._running[task.workflow_id]

    async def _prepare(self, order: Exec) -> Order:
        session = await asyncio.shield(self._session)
        complete = await inputs.complete(order)
        own = {"FILEPATH_WORKFLOW_ID": order.workflow_id, "FILEPATH_PROGRESS": str(self._inbox.pipe)}
        command = Command(
            text=complete.command,
            environment=environment.of_command(self._base_environment, session.get("env") or {}, complete.env, own),
            directory=self._workspace / (complete.cwd or ""),
            stdin=None if complete.stdin is None else bytes_of(complete.stdin, complete.stdin_encoding),
            stdin_open=complete.stdin_open,
        )
        return Order(
            command,
            complete.timeout_seconds,
            grace_seconds=session.get("graceSeconds", 5),
            output_limit=session.get("outputLimitBytes", sys.maxsize),
        )

    def _answer_again(self, workflow_id: str) -> None:
        outcome = self._over.get(workflow_id)
        if task := self._open.get(workflow_id):
            self._answer(task.say_again())
        elif outcome:
            self._answer(self._repeat_exit(workflow_id, outcome))

    async def _repeat_exit(self, workflow_id: str, outcome: Outcome) -> None:
        await self._connection.call("exit", {"workflowId": workflow_id, **outcome.params()})

    def _answer(self, saying: Coroutine[None, None, None]) -> None:
        async def say() -> None:
            with suppress(StoppedError, CallFailedError, SessionClosedError):
                await saying

        answer = asyncio.create_task(say())
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
