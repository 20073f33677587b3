"""What a command writes, how it ends and what it is given: the probes that sandboxes fail, and the agent's own."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from agent import protocol
from agent.protocol import Exec
from benchmarks.agent.probes import PROBES, Probe, leaves_no_zombie_of_ten_thousand
from benchmarks.agent.runtime import Receive, Result
from tests.agent.conftest import AgentProcess
from tests.agent.platform_peer import Log, PlatformPeer

pytestmark = pytest.mark.usefixtures("agent")


class Asked:
    """The agent as the probes ask it, with what it answered."""

    def __init__(self, peer: PlatformPeer, agent: AgentProcess) -> None:
        self._peer = peer
        self.pids: Sequence[int] = [agent.pid]
        self.answers: list[str] = []

    async def run(
        self, command: str, receive: Receive, *, stdin: str | None = None, timeout_seconds: int = 600
    ) -> Result:
        workflow_id = f"wf_asked_{len(self._peer.logs)}"
        log = await self._peer.execute(workflow_id, command, timeout_seconds, stdin=stdin)
        await self._peer.until(lambda: log.exit is not None, seconds=120)
        assert log.exit
        at = 0
        for stream, length in log.runs:
            receive(stream, bytes(log.data[at : at + length]))
            at += length
        self.answers.append(f"{command[:100]!r}: {bytes(log.data[:100])!r}, {log.exit}")
        return Result(log.exit.exit_code, log.exit.signal or log.exit.cause)


@pytest.mark.parametrize(
    "probe",
    [
        *(pytest.param(probe, id=name) for name, probe in PROBES.items()),
        pytest.param(leaves_no_zombie_of_ten_thousand, id="10,000 short children", marks=pytest.mark.slow),
    ],
)
async def test_the_agent_answers_right(peer: PlatformPeer, agent: AgentProcess, probe: Probe) -> None:
    asked = Asked(peer, agent)
    assert await probe(asked), asked.answers


# Output


async def test_a_character_written_in_two_parts_arrives_whole(peer: PlatformPeer) -> None:
    log = await peer.run(r"printf '\xe2\x82'; sleep 0.2; printf '\xac'")
    assert log.text() == "€"
    assert len(log.kept) == 2


async def test_no_message_is_larger_than_api_gateway_takes(peer: PlatformPeer) -> None:
    await peer.run("head -c 3000000 /dev/urandom; seq 1 20000 >&2")
    sizes = [len(received.text.encode()) for received in peer.received]
    assert max(sizes) <= protocol.MESSAGE_LIMIT
    assert max(sizes) > protocol.FRAME_LIMIT  # so that fragments were needed; the peer refuses larger frames


async def test_stdout_and_stderr_are_told_apart_in_the_order_written(peer: PlatformPeer) -> None:
    log = await peer.run("echo o1; sleep 0.05; echo e1 >&2; sleep 0.05; echo o2")
    assert log.runs == [("stdout", 3), ("stderr", 3), ("stdout", 3)]
    assert log.of("stdout") == b"o1\no2\n"
    assert log.of("stderr") == b"e1\n"


async def test_a_line_is_sent_when_it_is_written(peer: PlatformPeer) -> None:
    log = await peer.execute("wf_live", "echo first; sleep 30")
    await peer.until(lambda: log.data == b"first\n", seconds=1)
    await peer.signal("wf_live", "KILL")
    await peer.until(lambda: log.exit is not None)


async def test_alternating_streams_are_complete(peer: PlatformPeer) -> None:
    log = await peer.run("for i in {1..3000}; do echo o$i; echo e$i >&2; done")
    assert log.of("stdout").decode().split() == [f"o{n}" for n in range(1, 3001)]
    assert log.of("stderr").decode().split() == [f"e{n}" for n in range(1, 3001)]


# Ends


@pytest.mark.parametrize(
    ("command", "exit_code", "signal"),
    [
        ("exit 7", 7, None),
        ("true", 0, None),
        ("echo 'unbalanced", 2, None),
        ("if; then", 2, None),
        ("no-such-program", 127, None),
        ("kill -9 $$", None, "KILL"),
        ("kill -SEGV $$", None, "SEGV"),
        ("sh -c 'kill -SEGV $$'; exit $?", 139, None),
    ],
)
async def test_the_end_is_what_wait_said(
    peer: PlatformPeer, command: str, exit_code: int | None, signal: str | None
) -> None:
    end = (await peer.run(command)).exit
    assert end
    assert (end.cause, end.exit_code, end.signal) == ("exited", exit_code, signal)


async def test_run_time_is_from_start_to_end(peer: PlatformPeer) -> None:
    end = (await peer.run("sleep 0.3")).exit
    assert end
    assert 300 <= end.run_ms < 1000


async def test_a_child_that_keeps_the_pipe_does_not_hold_the_result(peer: PlatformPeer, agent: AgentProcess) -> None:
    begun = time.monotonic()
    log = await peer.run("sleep 31 & echo done")
    assert time.monotonic() - begun < 1
    assert log.data == b"done\n"
    assert log.exit
    assert (log.exit.exit_code, log.exit.leftovers) == (0, 1)
    assert any("sleep 31" in line for line in agent.descendants())


async def test_a_child_that_goes_on_writing_does_not_hold_the_result_either(peer: PlatformPeer) -> None:
    begun = time.monotonic()
    log = await peer.run("(while sleep 0.02; do echo again; done) & echo done")
    assert time.monotonic() - begun < 4
    assert log.exit
    assert log.exit.leftovers >= 1


async def test_what_a_child_writes_right_after_the_end_still_counts(peer: PlatformPeer) -> None:
    log = await peer.run("(sleep 0.05; echo late) & echo early")
    assert log.text() == "early\nlate\n"
    assert log.exit
    assert log.exit.leftovers == 0


async def test_a_left_child_that_writes_without_end_is_neither_kept_nor_blocked(peer: PlatformPeer) -> None:
    log = await peer.run("(while sleep 0.05; do echo x; date +%s%N > beat; done) & echo up")
    length = len(log.data)
    first = await peer.run("sleep 0.2; cat beat")
    second = await peer.run("sleep 0.2; cat beat")
    assert int(first.text()) < int(second.text())
    assert len(log.data) == length


# What a command is given


async def test_stdin_is_empty_unless_given(peer: PlatformPeer) -> None:
    log = await peer.run("read line; echo $?; readlink /proc/self/fd/0")
    assert log.text() == "1\n/dev/null\n"


async def test_stdin_as_given_and_then_its_end(peer: PlatformPeer) -> None:
    given = "zwölf\n" * 100_000
    log = await peer.run("sha256sum", stdin=given)
    # Larger than a message from the platform may be; that way is tested below.
    assert log.text().split()[0] == hashlib.sha256(given.encode()).hexdigest()


async def test_an_empty_stdin_is_an_end_of_file(peer: PlatformPeer) -> None:
    assert (await peer.run("cat | wc -c", stdin="")).text().strip() == "0"


async def test_a_command_past_the_kernels_argument_limit(peer: PlatformPeer) -> None:
    long = "x" * 200_000
    log = await peer.run(f"read line; echo '{long}' | wc -c; echo $line; exit 3", stdin="kept for the command\n")
    assert log.text().split("\n") == ["200001", "kept for the command", ""]
    assert log.exit
    assert log.exit.exit_code == 3


async def test_it_starts_in_the_workspace_or_where_it_is_told_to(peer: PlatformPeer, agent: AgentProcess) -> None:
    assert (await peer.run("pwd; mkdir -p deep/er")).text() == f"{agent.workspace}\n"
    assert (await peer.run("pwd", cwd="deep/er")).text() == f"{agent.workspace}/deep/er\n"
    assert (await peer.run("pwd", cwd="/usr")).text() == "/usr\n"


async def test_standard_streams_can_be_opened_by_name(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run("cat /dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr", stdin="in\n")
    assert (log.of("stdout"), log.of("stderr")) == (b"in\nout\n", b"err\n")


async def test_a_directory_that_is_not_there_is_said_to_be_the_reason(peer: PlatformPeer) -> None:
    log = await peer.run("echo no", cwd="/no/such/directory")
    assert log.exit
    assert log.exit.cause == "not_started"
    assert log.exit.message == "no such directory or program: /no/such/directory"
    assert log.started == 0


@pytest.mark.parametrize("name", ["\udcff", "x" * 200_000], ids=["no text", "longer than a message"])
async def test_a_directory_that_cannot_be_named_in_a_message_is_said_to_be_the_reason_too(
    peer: PlatformPeer, agent: AgentProcess, name: str
) -> None:
    log = peer.logs.setdefault("wf_a", Log())
    order = Exec("wf_a", 5, "pwd", cwd=name).params()
    await peer.until(lambda: bool(peer.greeted()))
    await peer.connections[-1].send(json.dumps({"jsonrpc": "2.0", "method": "exec", "params": order}))
    await peer.until(lambda: log.exit is not None, seconds=5)
    assert log.exit
    assert log.exit.cause == "not_started"
    assert str(agent.workspace) in (log.exit.message or "")


async def test_what_one_command_leaves_the_next_finds(peer: PlatformPeer) -> None:
    await peer.run("echo kept > file; export GONE=1; cd /")
    assert (await peer.run('cat file; echo "[$GONE]"; pwd')).text().startswith("kept\n[]\n")


class _Inputs(http.server.BaseHTTPRequestHandler):
    failures = 0
    inputs: dict[str, object] = {}  # noqa: RUF012 - set by the test

    def do_GET(self) -> None:
        cls = type(self)
        self.send_response(503 if cls.failures else 200)
        cls.failures = max(0, cls.failures - 1)
        self.end_headers()
        self.wfile.write(json.dumps(cls.inputs).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[str]:
    """A presigned address."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Inputs) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/inputs?X-Amz-Signature=secret"
        server.shutdown()
        thread.join()


async def test_inputs_too_large_for_a_message_are_fetched(peer: PlatformPeer, bucket: str) -> None:
    stdin = "x" * 4_000_000
    _Inputs.inputs = {"command": "wc -c; echo $SET" + " " * 900_000, "env": {"SET": "yes"}, "stdin": stdin}
    _Inputs.failures = 1
    log = await peer.run("", inputs_url=bucket)
    assert log.text().split() == ["4000000", "yes"]


async def test_inputs_that_cannot_be_had_are_the_reason(peer: PlatformPeer, agent: AgentProcess, bucket: str) -> None:
    _Inputs.inputs = {}
    log = await peer.run("", inputs_url=bucket)
    assert log.exit
    assert log.exit.message == "the command's inputs are not what the agent can read"
    assert "secret" not in agent.log.read_text()


async def test_a_command_that_is_cancelled_does_not_wait_for_its_inputs(peer: PlatformPeer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        log = await peer.execute("wf_a", inputs_url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        asking, _ = await asyncio.to_thread(silent.accept)
        with asking:
            await peer.signal("wf_a", "TERM")
            await peer.until(lambda: log.exit is not None, seconds=3)
    assert log.exit
    assert (log.exit.cause, log.exit.message) == ("not_started", "it was cancelled before it started")
    assert (await peer.run("echo on")).text() == "on\n"


@pytest.mark.parametrize("way", ["signal", "shutdown"])
async def test_nor_does_one_that_was_kept_from_starting_before_it_came(
    peer: PlatformPeer, agent: AgentProcess, way: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if way == "signal":
            await peer.signal("wf_a", "TERM")
        else:
            running = await peer.execute("wf_running", "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done")
            await peer.until(lambda: bool(running.data))
            await peer.post("shutdown", {"reason": "idle"})
            await peer.until(lambda: b"asked" in running.data)
        log = await peer.execute("wf_a", inputs_url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        await peer.until(lambda: log.exit is not None, seconds=3)
    assert log.exit
    assert log.exit.cause == "not_started"
