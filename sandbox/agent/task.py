"""One task: from the platform's exec to an exit that the platform has taken.

All that the platform is told about a task is told here, in an order that it can rely on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agent.command import Command, NotStartedError
from agent.connection import CallFailedError, Connection, backoff
from agent.delivery import Delivery
from agent.process import Process
from agent.processes import Processes
from agent.progress import Inbox, Progress, Reporter
from agent.protocol import Chunk, End, EndCause, Params, StdinPiece, encoded_chunk_params
from agent.stdin import Stdin

_CUT = "its output is cut at {} bytes, the most that is kept of a task"
_FAILED = "the agent failed to accompany it to its end: it was ended, and the rest of its output is lost"
_BRIEF_SECONDS = 0.03
"""Who ends within this is not told to have started: the exit, which says for how long it ran, follows too soon for
`running` to be seen, and each message costs the platform a function's run and a write."""
_LAST_OUTPUT_SECONDS = 0.2
"""Several round trips to the platform. Where the last output takes no longer, the exit alone tells the end; where it
does, the end is told ahead, so that it is known whatever becomes of the sandbox meanwhile."""
_REASON_LIMIT = 2000
"""Characters of why a command did not start."""

log = logging.getLogger(__name__)


def _sendable(reason: str) -> str:
    """It may quote a path as it was asked for: of any length, and of bytes that are no text."""
    return reason.encode(errors="replace").decode()[:_REASON_LIMIT]


class StoppedError(Exception):
    """The platform is done with this task and wants to hear no more of it."""


@dataclass(frozen=True)
class Order:
    """All that it takes to run a command."""

    command: Command
    timeout_seconds: int
    grace_seconds: float
    output_limit: int


@dataclass(frozen=True)
class Outcome:
    """What stays to be said of a task that is over."""

    end: End
    output_bytes: int

    def params(self) -> Params:
        return {"outputBytes": self.output_bytes, "end": self.end.params()}


class Task:
    def __init__(self, workflow_id: str, connection: Connection, processes: Processes, inbox: Inbox) -> None:
        self.workflow_id = workflow_id
        self.outcome: Outcome | None = None
        self._connection = connection
        self._processes = processes
        self._inbox = inbox
        self._process: Process | None = None
        self._refusal: str | None = None
        self._preparing: asyncio.Task[object] | None = None
        self._is_stopped = False
        self._delivery = Delivery(self._encode_output, self._send_output)
        self._progress = Reporter(self._send_progress)
        self.stdin = Stdin(self._read_stdin)

    async def run(self, order: Callable[[], Awaitable[Order]]) -> None:
        """Returns when the platform has taken the exit, or says stop. Raises what keeps the exit from being told."""
        try:
            self.outcome = await self._execute_or_fail(order)
            await self._report_exit(self.outcome)
        except* StoppedError:
            pass  # the answer to an exit that is taken says it too
        finally:
            await self._leave_nothing()
            # Not before the exit is told: a line takes as long as a message.
            log.info("%s: %s", self.workflow_id, self.outcome.end if self.outcome else "stopped by the platform")

    def terminate(self, cause: EndCause, signal_name: str, refusal: str) -> None:
        """Ends the command, or keeps it from starting: `refusal` is then what its sender reads."""
        if self._process:
            self._process.terminate(cause, signal_name)
        elif not self._refusal:
            self._refusal = refusal
            if self._preparing:
                self._preparing.cancel()

    def note(self, progress: Progress) -> None:
        self._progress.note(progress)

    async def say_again(self) -> None:
        """The answer to an exec that came twice: how far this task is. Before it has started, that is nothing yet."""
        if self._process and not self.outcome:
            await self._report_start()

    async def _execute_or_fail(self, order: Callable[[], Awaitable[Order]]) -> Outcome:
        """The platform counts on an end, also where the agent fails or a report is refused for good."""
        try:
            return await self._execute(order)
        except Exception as error:
            if self._is_stopped:
                raise
            log.exception("%s: the agent failed it", self.workflow_id)
            return await self._fail(error)

    async def _fail(self, error: Exception) -> Outcome:
        if self._process is None:
            # The kind of error only: its text may hold a presigned address.
            return Outcome(End("not_started", 0, message=f"the agent could not start it: {type(error).__name__}"), 0)
        self._process.pipes.release()  # a delivery that failed makes no room any more
        self._delivery.forget()
        self._process.terminate("failed")
        end = await self._process.end()
        return Outcome(replace(end, message=_FAILED), self._delivery.written)

    async def _execute(self, order: Callable[[], Awaitable[Order]]) -> Outcome:
        try:
            ordered = await self._unless_refused(order)
            self._process = self._start(ordered)
        except NotStartedError as error:
            return Outcome(End("not_started", 0, message=_sendable(str(error))), 0)
        end = await self._accompany(self._process, ordered.timeout_seconds)
        return Outcome(end, self._delivery.written)

    async def _unless_refused(self, order: Callable[[], Awaitable[Order]]) -> Order:
        """Its inputs may take minutes to be had: what keeps it from starting does not wait for them."""
        self._heed_refusal()
        self._preparing = current = asyncio.current_task()
        try:
            return await order()
        except asyncio.CancelledError:
            if not self._refusal or (current and current.uncancel()):
                raise
            raise NotStartedError(self._refusal) from None
        finally:
            self._preparing = None

    def _heed_refusal(self) -> None:
        if self._refusal:
            raise NotStartedError(self._refusal)

    def _start(self, order: Order) -> Process:
        self._heed_refusal()
        process = self._processes.spawn(order.command, self._delivery.take, order.grace_seconds)
        self._delivery.on_room = process.pipes.resume
        self._delivery.limit = order.output_limit
        self._delivery.on_limit = lambda: self._stop_at_limit(process)
        return process

    @staticmethod
    def _stop_at_limit(process: Process) -> None:
        process.pipes.release()  # so that what handles the signal can still write
        process.terminate("output_limit")

    async def _accompany(self, process: Process, timeout_seconds: int) -> End:
        """Reports while it runs, and until all but the exit is reported."""
        async with asyncio.TaskGroup() as reports:
            deadline = asyncio.get_running_loop().call_later(timeout_seconds, process.terminate, "timed_out")
            self._delivery.on_first = lambda: reports.create_task(self._delivery.run())
            self._progress.on_first = lambda: reports.create_task(self._progress.run())
            asking = reports.create_task(self.stdin.run(process.feed)) if process.feed else None
            try:
                if not await process.ends_within(_BRIEF_SECONDS):
                    log.info("%s: process %d", self.workflow_id, process.pid)
                    reports.create_task(self._report_start())
                end = self._admitted(await process.end())
                self._processes.dismiss(process)
                if process.feed and asking:
                    asking.cancel()
                    process.feed.close()
                self._inbox.read()  # what the command wrote last must not come after its exit
                self._progress.finish()
                self._delivery.finish()
                if not await self._delivery.completes_within(_LAST_OUTPUT_SECONDS):
                    await self._call("ended", {"end": end.params()})
            finally:
                deadline.cancel()
                self._delivery.on_first = self._progress.on_first = None  # the group takes no more
        return end

    def _admitted(self, end: End) -> End:
        """What is cut is not all of its output, even where it ended by itself before that was seen."""
        if not self._delivery.is_cut:
            return end
        cause: EndCause = "output_limit" if end.cause == "exited" else end.cause
        return replace(end, cause=cause, message=_CUT.format(self._delivery.written))

    async def _leave_nothing(self) -> None:
        if self._process:
            self._process.terminate("cancelled")
            await self._process.ended_with_all_of_it()
            if self._process.feed:
                self._process.feed.close()
            self._processes.dismiss(self._process)

    # What the platform is told

    async def _report_start(self) -> None:
        await self._call("started", {})

    async def _read_stdin(self, offset: int) -> StdinPiece:
        return StdinPiece.of(await self._call("readStdin", {"offset": offset}))

    def _encode_output(self, chunk: Chunk) -> bytes:
        return encoded_chunk_params(self.workflow_id, chunk)

    async def _send_output(self, encoded: bytes) -> Params:
        return await self._ask("output", encoded)

    async def _send_progress(self, progress: Progress) -> None:
        await self._call("progress", {"percent": progress.percent, "message": progress.message})

    async def _report_exit(self, outcome: Outcome) -> None:
        tries = 0
        while not (reply := await self._call("exit", outcome.params())).get("accepted"):
            log.warning("%s: the platform does not take its exit yet", self.workflow_id)
            # More than was acknowledged is stored where the agent failed before it read the acknowledgement.
            stored = max(outcome.output_bytes, reply.get("stored", 0))
            self.outcome = outcome = replace(outcome, output_bytes=stored)
            await asyncio.sleep(backoff(tries))
            tries += 1

    async def _call(self, method: str, params: Params) -> Params:
        """Raises StoppedError, CallFailedError or SessionClosedError."""
        return await self._ask(method, {"workflowId": self.workflow_id, **params})

    async def _ask(self, method: str, params: Params | bytes) -> Params:
        try:
            reply = await self._connection.call(method, params)
        except CallFailedError as error:
            log.warning("%s: the platform refused %s: %s", self.workflow_id, method, error)
            raise
        if reply.get("stop"):
            self._is_stopped = True
            raise StoppedError
        return reply
