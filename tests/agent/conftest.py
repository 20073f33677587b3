"""A real agent in a real process, with a workspace of its own, dialing a platform peer of the test's."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.agent.platform_peer import SESSION, TOKEN, PlatformPeer

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="commands run as another user only where the agent is root")


class AgentProcess:
    """`python -m agent`, and what can be done to it from outside."""

    def __init__(self, url: str, workspace: Path, flags: Sequence[str] = ("-P",), **environment: str) -> None:
        self.workspace = workspace
        self.log = workspace.parent / "agent.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-m", "agent"],
                cwd=workspace,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(ROOT / "sandbox"),
                    "FILEPATH_AGENTS_URL": url,
                    "FILEPATH_SESSION": SESSION,
                    "FILEPATH_TOKEN": TOKEN,
                    "FILEPATH_WORKSPACE": str(workspace),
                    "AWS_SECRET_ACCESS_KEY": "secret-of-aws",
                    "ECS_CONTAINER_METADATA_URI_V4": "http://secret-of-ecs",
                    **environment,
                },
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def exit_code(self, seconds: float = 20) -> int:
        return await asyncio.to_thread(self._process.wait, seconds)

    def proc(self, name: str) -> bytes:
        """A file of /proc/PID."""
        return Path(f"/proc/{self.pid}/{name}").read_bytes()

    def identities(self) -> list[list[str]]:
        """Users, groups and capabilities of each thread."""
        files = (thread / "status" for thread in Path(f"/proc/{self.pid}/task").iterdir())
        wanted = ("Uid:", "Gid:", "Groups:", "CapEff:", "CapPrm:")
        return [[line for line in file.read_text().splitlines() if line.startswith(wanted)] for file in files]

    def memory(self) -> int:
        """Resident bytes."""
        return int(self.proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        return sum(int(ticks) for ticks in self.proc("stat").split()[13:15]) / os.sysconf("SC_CLK_TCK")

    def listening_sockets(self) -> set[str]:
        open_files = {str(file.readlink()) for file in Path(f"/proc/{self.pid}/fd").iterdir()}
        rows = [row.split() for table in ("net/tcp", "net/tcp6") for row in self.proc(table).decode().splitlines()]
        return {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"} & open_files

    def descendants(self) -> list[str]:
        """Every process below the agent, zombies too, as `state command line`."""
        children: dict[int, list[tuple[int, str]]] = {}
        for directory in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # gone in between
                state, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
                arguments = (directory / "cmdline").read_text().replace("\0", " ")
                children.setdefault(int(parent), []).append((int(directory.name), f"{state} {arguments}"))
        found, queue = [], [self.pid]
        while queue:
            for pid, shown in children.get(queue.pop(), []):
                queue.append(pid)
                found.append(shown)
        return found

    async def until_alone(self) -> None:
        while self.descendants():  # noqa: ASYNC110 - /proc tells no event
            await asyncio.sleep(0.05)

    def end(self) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self._process.wait()


class Agents:
    """Starts agents and ends them with the test."""

    def __init__(self, peer: PlatformPeer, home: Path) -> None:
        self._peer = peer
        self._home = home
        self.started: list[AgentProcess] = []

    def start(self, flags: Sequence[str] = ("-P",), **environment: str) -> AgentProcess:
        workspace = self._home / "workspace"
        if not workspace.exists():
            workspace.mkdir()
            if IS_ROOT:
                os.chown(workspace, 1000, 1000)
        agent = AgentProcess(self._peer.url, workspace, flags, **environment)
        self.started.append(agent)
        return agent


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that the commands' user can reach, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="filepath-agent-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def peer() -> AsyncIterator[PlatformPeer]:
    async with PlatformPeer() as peer:
        yield peer


@pytest.fixture
async def agents(peer: PlatformPeer, home: Path) -> AsyncIterator[Agents]:
    agents = Agents(peer, home)
    yield agents
    for agent in agents.started:
        await asyncio.to_thread(agent.end)
        sys.stderr.write(agent.log.read_text())


@pytest.fixture
async def agent(agents: Agents) -> AgentProcess:
    return agents.start()
