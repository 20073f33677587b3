"""Commands run, watched and cancelled over a real socket that keeps its word, and over one that does not."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from filepath_sdk import (
    ClientClosed,
    CommandFailed,
    Filepath,
    Forbidden,
    InvalidRequest,
    NotConfigured,
    OutputEvent,
    StatusEvent,
    Unauthenticated,
    WaitTimeout,
)
from filepath_sdk.core.feed import Pace
from filepath_sdk.core.watch import WatchInterrupted
from filepath_sdk.task import Watch
from tests.sdk.conftest import Client
from tests.sdk.platform_double import KEY, Faults, Platform


def reads(platform: Platform) -> list[str]:
    return [path for method, path in platform.requests if method == "GET"]


def comes_to(wanted: int, count: Callable[[], int]) -> bool:
    deadline = time.monotonic() + 5
    while count() != wanted and time.monotonic() < deadline:
        time.sleep(0.005)
    return count() == wanted


def test_a_run_gives_output_exit_code_and_charge(fp: Filepath) -> None:
    with fp.sessions.create() as session:
        result = session.run("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 3)
    assert (result.status, result.signal, result.credits_charged, result.output_bytes) == (
        "completed",
        None,
        1,
        8,
    )
    assert not result.ok


def test_while_the_socket_is_up_nothing_is_polled(platform: Platform, fp: Filepath) -> None:
    with fp.sessions.create() as session:
        session.run("for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert reads(platform) == []
    assert platform.sockets_opened == 1


def test_output_arrives_while_the_command_runs(fp: Filepath) -> None:
    seen: list[tuple[float, str]] = []
    with fp.sessions.create() as session:
        session.run("echo a; sleep 0.5; echo b", on_stdout=lambda text: seen.append((time.monotonic(), text)))
    assert [text for _, text in seen] == ["a\n", "b\n"]
    assert seen[1][0] - seen[0][0] > 0.3


def test_environment_directory_and_input_reach_the_command(fp: Filepath) -> None:
    with fp.sessions.create(env={"A": "1"}) as session:
        assert session.run('echo "$A$B"; cat', env={"B": "2"}, stdin="in").stdout == "12\nin"


def test_check_raises_with_the_result(fp: Filepath) -> None:
    with fp.sessions.create() as session, pytest.raises(CommandFailed, match="exit code 4") as caught:
        session.run("echo why >&2; exit 4", check=True)
    assert caught.value.result.stderr == "why\n"


def test_a_large_output_with_bytes_that_are_no_text_is_exact(fp: Filepath) -> None:
    with fp.sessions.create() as session:
        result = session.run("head -c 700000 /dev/urandom | tee copy; sha256sum copy >&2")
    assert len(result.stdout_bytes) == 700_000
    assert hashlib.sha256(result.stdout_bytes).hexdigest() == result.stderr.split()[0]


@pytest.mark.parametrize("seed", range(4))
def test_events_omitted_doubled_and_overtaken_leave_the_output_exact(
    platform: Platform, seed: int, client: Client
) -> None:
    platform.faults = Faults(seed, omit=0.2, double=0.3, overtake=0.3)
    with client(KEY, platform.url) as fp, fp.sessions.create() as session:
        result = session.run("for i in $(seq 40); do echo line $i; sleep 0.01; done")
    assert result.stdout == "".join(f"line {number}\n" for number in range(1, 41))


def test_a_socket_cut_while_a_task_runs_costs_no_byte_and_one_catch_up(platform: Platform, fp: Filepath) -> None:
    with fp.sessions.create() as session:
        task = session.start("for i in $(seq 20); do echo $i; sleep 0.05; done")
        texts = ""
        for event in task.events():
            if isinstance(event, OutputEvent):
                texts += event.text
                if event.data == b"5\n":
                    platform.cut_sockets()
    assert texts == "".join(f"{number}\n" for number in range(1, 21))
    assert platform.sockets_opened == 2
    assert len([path for path in reads(platform) if path.endswith("/status")]) == 1


def test_without_any_socket_a_run_still_ends_right(platform: Platform, client: Client) -> None:
    platform.refuse_sockets = 503
    with client(KEY, platform.url, pace=Pace(longest_backoff=0.3)) as fp, fp.sessions.create() as session:
        result = session.run("echo a; sleep 0.3; echo b")
    assert (result.stdout, result.exit_code) == ("a\nb\n", 0)


def test_a_socket_that_refuses_the_key_is_told_at_once(platform: Platform, client: Client) -> None:
    platform.refuse_sockets = 401
    with client(KEY, platform.url) as fp:
        session = fp.sessions.create()
        with pytest.raises(Unauthenticated):
            session.start("true")
    assert not platform.tasks


def test_a_key_that_is_revoked_ends_the_watch_after_the_refusal_was_repeated(
    platform: Platform, client: Client
) -> None:
    with client(KEY, platform.url, pace=Pace(longest_backoff=0.1)) as fp:
        task = fp.sessions.create().start("sleep 60")
        platform.refuse_sockets = 403
        platform.cut_sockets()
        with pytest.raises(Forbidden, match="was refused: Forbidden"):
            task.wait(timeout=10)


def test_a_refusal_while_the_platform_restarts_does_not_end_the_watch(platform: Platform, client: Client) -> None:
    with client(KEY, platform.url, pace=Pace(longest_backoff=0.1)) as fp:
        task = fp.sessions.create().start("echo a; sleep 0.6; echo b")
        platform.refuse_once = 403
        platform.cut_sockets()
        assert task.wait(timeout=10).stdout == "a\nb\n"
    assert platform.sockets_opened == 2


def test_a_socket_url_of_another_kind_is_named_at_once(platform: Platform, client: Client) -> None:
    with client(KEY, platform.url, socket_url=platform.url) as fp, pytest.raises(NotConfigured, match="SOCKET_URL"):
        fp.sessions.create().start("true")


def test_input_that_is_no_text_is_refused_before_anything_is_sent(platform: Platform, fp: Filepath) -> None:
    session = fp.sessions.create()
    with pytest.raises(InvalidRequest):
        session.start("cat", stdin=b"\xff")
    assert not platform.tasks


def test_a_sign_in_token_opens_the_socket_with_a_ticket(platform: Platform, client: Client) -> None:
    with client(url=platform.url, token="token-1") as fp, fp.sessions.create() as session:
        assert session.run("echo hi").stdout == "hi\n"


def test_a_task_can_be_watched_by_its_id_after_it_began(platform: Platform, fp: Filepath, client: Client) -> None:
    with fp.sessions.create() as session:
        started = session.start("echo a; sleep 0.4; echo b; exit 5")
        while not platform.tasks[started.id].size:
            time.sleep(0.01)
        with client(KEY, platform.url) as other:
            result = other.tasks.attach(started.id).wait()
    assert (result.stdout, result.exit_code) == ("a\nb\n", 5)


def test_a_task_can_be_watched_by_its_id_after_it_ended(fp: Filepath) -> None:
    with fp.sessions.create() as session:
        done = session.run("printf 0123456789; exit 1")
        events = list(fp.tasks.attach(done.workflow_id).events(after=4))
    assert b"".join(one.data for one in events if isinstance(one, OutputEvent)) == b"456789"
    assert isinstance(events[-1], StatusEvent)
    assert events[-1].status.exit_code == 1


def test_a_wait_that_times_out_can_be_gone_on_with(fp: Filepath) -> None:
    with fp.sessions.create() as session:
        task = session.start("echo a; sleep 0.4; echo b")
        with pytest.raises(WaitTimeout):
            task.wait(timeout=0.1)
        assert task.wait(timeout=5).stdout == "a\nb\n"
        assert task.output() == b"a\nb\n"


def test_two_may_wait_for_one_task_at_one_time(fp: Filepath) -> None:
    with fp.sessions.create() as session, ThreadPoolExecutor(2) as others:
        task = session.start("for number in {1..50}; do echo $number; done; sleep 0.3; echo over")
        waits = [others.submit(task.wait, 20) for _ in range(2)]
        expected = "".join(f"{number}\n" for number in range(1, 51)) + "over\n"
        assert [wait.result(20).stdout for wait in waits] == [expected] * 2
        assert task.wait(0).stdout == expected


def test_a_cancelled_task_says_so_with_its_signal(fp: Filepath) -> None:
    with fp.sessions.create() as session:
        task = session.start("echo up; sleep 60")
        next(iter(task.events()))
        task.cancel("INT")
        result = task.wait(timeout=5)
    assert (result.status, result.exit_code) == ("cancelled", None)
    assert result.signal is not None


def test_an_interrupt_in_a_run_cancels_the_command(platform: Platform) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    with Filepath(KEY, platform.url) as fp, pytest.raises(KeyboardInterrupt):
        fp.sessions.create().run("echo up; sleep 60", on_stdout=interrupted)
    assert platform.tasks["wf_1"].cancelled


def test_a_callback_that_raises_cancels_the_command(platform: Platform, fp: Filepath) -> None:
    def failing(_: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fp.sessions.create().run("echo up; sleep 60", on_stdout=failing)
    assert platform.tasks["wf_1"].cancelled


def test_progress_reaches_its_callback(platform: Platform, fp: Filepath) -> None:
    seen: list[tuple[float | None, str | None]] = []
    with fp.sessions.create() as session:
        player = threading.Thread(target=_play_progress, args=(platform,))
        player.start()
        session.run("# played", on_progress=lambda percent, message: seen.append((percent, message)))
        player.join()
    assert seen == [(10, "a"), (60, "b")]


def _play_progress(platform: Platform) -> None:
    while "wf_1" not in platform.tasks:
        time.sleep(0.01)
    task = platform.tasks["wf_1"]
    for sequence, percent, message in ((1, 10, "a"), (2, 60, "b"), (1, 10, "a")):
        told = {"type": "status", "workflowId": "wf_1", "status": "running", "seq": sequence}
        platform.tell({**told, "progress": percent, "message": message})
    platform.end(task, 0)


def test_several_tasks_share_one_socket_and_keep_their_output_apart(platform: Platform, fp: Filepath) -> None:
    with fp.sessions.create() as session:
        tasks = [session.start(f"for i in 1 2 3; do echo {name}$i; sleep 0.05; done") for name in "abc"]
        outputs = [task.wait().stdout for task in tasks]
    assert outputs == [f"{name}1\n{name}2\n{name}3\n" for name in "abc"]
    assert platform.sockets_opened == 1


def test_an_idle_socket_is_kept_alive_by_a_request(platform: Platform, client: Client) -> None:
    with client(KEY, platform.url, pace=Pace(keep_alive=(0.05, 0.1))) as fp:
        fp.sessions.create().start("true")
        assert platform.health_asked.wait(5)


def test_an_ageing_socket_is_replaced_before_it_is_closed(platform: Platform, client: Client) -> None:
    with client(KEY, platform.url, pace=Pace(renewal=(0.2, 0.2))) as fp, fp.sessions.create() as session:
        result = session.run("for i in $(seq 20); do echo $i; sleep 0.04; done")
        assert comes_to(1, platform.open_sockets)
    assert result.stdout == "".join(f"{number}\n" for number in range(1, 21))
    assert platform.sockets_opened >= 3
    assert platform.most_sockets >= 2


def test_closing_the_client_ends_its_socket_and_its_thread(platform: Platform, client: Client) -> None:
    fp = client(KEY, platform.url)
    fp.sessions.create().start("sleep 60")
    fp.close()
    assert comes_to(0, platform.open_sockets)
    assert "filepath-feed" not in [thread.name for thread in threading.enumerate()]


def test_who_waits_while_the_client_is_closed_is_told(platform: Platform, client: Client) -> None:
    with client(KEY, platform.url) as fp:
        task = fp.sessions.create().start("echo up; sleep 60")
        next(iter(task.events()))
        closer = threading.Timer(0.2, fp.close)
        closer.start()
        with pytest.raises(ClientClosed):
            task.wait(timeout=20)
        closer.join()
        with pytest.raises(ClientClosed):
            next(iter(fp.tasks.attach(task.id).events()))


def test_the_output_of_what_writes_faster_than_it_is_read_has_an_end(platform: Platform, fp: Filepath) -> None:
    with fp.sessions.create() as session:
        task = session.start("# the test writes for it")
        log, answer = platform.tasks[task.id], platform.get_workflow_output

        def answer_and_write(*asked: Any) -> dict[str, Any]:
            assert len(reads(platform)) < 20
            shown = answer(*asked)
            platform.write(log, "stdout", b"more\n")
            return shown

        platform.write(log, "stdout", b"x" * 250_000)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(platform, "get_workflow_output", answer_and_write)
            assert task.output()[:250_000] == b"x" * 250_000


def test_who_waits_again_after_the_client_was_closed_is_told_so_again(platform: Platform, client: Client) -> None:
    with client(KEY, platform.url) as fp, fp.sessions.create() as session:
        task = session.start("sleep 60")
        with pytest.raises(WaitTimeout):
            task.wait(timeout=0)
    for _ in range(2):
        with pytest.raises(ClientClosed):
            task.wait(timeout=5)


def test_an_interrupted_watch_goes_on_where_it_was(platform: Platform) -> None:
    with Filepath(KEY, platform.url) as fp, fp.sessions.create() as session:
        watch = session.start("echo one; sleep 0.2; echo two").events()
        watch.interrupt()
        with pytest.raises(WatchInterrupted):
            next(watch)
        shown = b"".join(event.data for event in watch if isinstance(event, OutputEvent))
    assert shown == b"one\ntwo\n"


def test_an_interrupt_ends_the_wait_for_an_event_at_once(platform: Platform) -> None:
    with Filepath(KEY, platform.url) as fp, fp.sessions.create() as session:
        watch = session.start("sleep 60").events()
        with pytest.raises(WatchInterrupted):
            _interrupted_when_quiet(watch)


def _interrupted_when_quiet(watch: Watch) -> None:
    def strike(*_: object) -> None:
        watch.interrupt()

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        list(watch)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_callback_that_is_to_be_awaited_is_refused_by_the_blocking_client(platform: Platform) -> None:
    async def listen(_: str) -> None:
        await asyncio.sleep(0)

    with Filepath(KEY, platform.url) as fp, pytest.raises(RuntimeError, match="AsyncFilepath"):
        fp.sessions.create().run("echo x", on_stdout=listen)
