"""The agent's life: connect, run what the platform asks for, and leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor

from agent import VERSION, environment, memory, privileges, signals
from agent.background import Background
from agent.connection import CallFailedError, Connection, PlatformGoneError, RefusedError, SessionClosedError
from agent.processes import Processes
from agent.progress import Inbox, Progress
from agent.protocol import Exec, Params, Request, Signal, StdinPiece
from agent.settings import Settings, SettingsError, take
from agent.signals import Signals
from agent.tasks import Tasks

EXIT_SHUTDOWN = 0
"""Ended as it should: asked to, or because the session is closed already, which needs nobody's attention either."""
EXIT_SETTINGS = 2
EXIT_REFUSED = 3
EXIT_PLATFORM_GONE = 4

log = logging.getLogger("agent")


class Agent:
    def __init__(self, settings: Settings) -> None:
        out_of_memory = privileges.OutOfMemoryOrder()
        privileges.harden()
        self._instance = os.urandom(10).hex()
        self._settings = settings
        self._heartbeat_seconds: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._is_leaving = asyncio.Event()
        self._processes = Processes(
            settings.user, out_of_memory, memory.OutOfMemoryKills(memory.counter()), settings.timing.quiet_seconds
        )
        self._inbox = Inbox(self._instance, self._noted)
        self._connection = Connection(settings, self._instance, self._hello, self._greeted, self._notified)
        self._background = Background(self._processes, self._connection, settings.timing)
        self._tasks = Tasks(
            self._connection,
            self._processes,
            self._inbox,
            environment.base(settings.user, settings.workspace, settings.session_id, self._inbox.helpers),
            settings.workspace,
        )

    async def live(self) -> int:
        """The exit code."""
        self._inbox.open()
        leave = self._is_leaving.set
        heard = Signals({signal.SIGCHLD: self._processes.reap, signal.SIGTERM: leave, signal.SIGINT: leave})
        leaving = asyncio.create_task(self._leave_when_asked())
        working = [asyncio.create_task(work) for work in self._work()]
        await asyncio.wait({leaving, *working}, return_when=asyncio.FIRST_COMPLETED)
        if not leaving.done():
            await self._tasks.abandon(self._settings.timing.shutdown_seconds)
        await self._processes.kill_all()
        for task in (leaving, *working):
            task.cancel()
        ends = await asyncio.gather(leaving, *working, return_exceptions=True)
        await self._connection.close()
        self._inbox.close()
        heard.close()
        return self._exit_code(ends)

    def _work(self) -> tuple[Coroutine[None, None, None], ...]:
        """What goes on for as long as the agent lives. The first that ends, ends it."""
        return (self._connection.run(), self._beat(), self._background.watch(), self._background.report())

    async def _leave_when_asked(self) -> None:
        await self._is_leaving.wait()
        await self._tasks.shut_down(self._settings.timing.shutdown_seconds)

    def _exit_code(self, ends: Iterable[object]) -> int:
        for end in ends:
            if isinstance(end, SessionClosedError):
                log.info("the session is closed: %s", end)
                return EXIT_SHUTDOWN
            if isinstance(end, RefusedError | PlatformGoneError):
                log.error("%s", end)
                return EXIT_REFUSED if isinstance(end, RefusedError) else EXIT_PLATFORM_GONE
            if isinstance(end, Exception):
                raise end
        return EXIT_SHUTDOWN

    def _hello(self) -> Params:
        return {"instance": self._instance, "version": VERSION, "tasks": self._tasks.open_ids()}

    def _greeted(self, reply: Params) -> None:
        if not self._heartbeat_seconds.done():
            self._heartbeat_seconds.set_result(reply.get("heartbeatSeconds", 30))
        self._tasks.begin(reply)
        self._background.begin(reply)
        self._heed(reply, [task for task in reply.get("tasks", []) if task.get("signal")])

    def _notified(self, message: Request) -> None:
        try:
            match message.method:
                case "exec":
                    self._tasks.execute(Exec.of(message.params))
                case "signal":
                    self._tasks.signal(Signal.of(message.params))
                case "stdin":
                    self._tasks.write(StdinPiece.of(message.params))
                case "shutdown":
                    self._is_leaving.set()
                case _:
                    log.warning("a message of an unknown kind: %s", message.method)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("a message %s that makes no sense: %r", message.method, error)

    def _noted(self, progress: Progress) -> None:
        self._tasks.note(progress)

    def _heed(self, reply: Params, signals: list[Params]) -> None:
        self._tasks.stop(reply.get("stop", []))
        for written in reply.get("stdin", []):
            self._tasks.tell_stdin(written["workflowId"], written["length"], closed=written["closed"])
        for params in signals:
            self._tasks.signal(Signal.of(params))

    async def _beat(self) -> None:
        """What was lost on the way is made good at the next beat: the reply says what should not run any more.

        Raises SessionClosedError."""
        seconds = await self._heartbeat_seconds
        while True:
            await asyncio.sleep(seconds)
            try:
                reply = await self._connection.call("heartbeat", {"tasks": self._tasks.open_ids()})
            except CallFailedError as error:
                log.warning("the platform refused a heartbeat: %s", error)
            else:
                self._heed(reply, reply.get("signals", []))


async def _live(settings: Settings) -> int:
    return await Agent(settings).live()


def _refuse_modules_of_commands() -> None:
    """The directory it is started in is where commands write. What Python imports late would be taken from there."""
    if not sys.flags.safe_path:
        raise SettingsError("start it with `python3 -P -m agent`, so that no module is looked for where it is started")


def _on_a_second_thread(settings: Settings) -> int:
    """The first thread's ids decide who may send this process a signal, and Linux keeps ids by thread: so the first
    stays who it is and waits, and the second, with the event loop, is the commands' user while it starts one."""
    signals.hold()
    with ThreadPoolExecutor(max_workers=1) as second:
        return second.submit(asyncio.run, _live(settings)).result()


def run() -> int:
    """The exit code."""
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO, stream=sys.stderr)
    # What the format does not show is not asked of the system for each line either.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("websockets").setLevel(logging.WARNING)
    try:
        _refuse_modules_of_commands()
        settings = take()
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return EXIT_SETTINGS
    log.info("agent %s of %s", VERSION, settings.session_id)
    return _on_a_second_thread(settings)
