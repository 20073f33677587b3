"""Writing to a command while it runs, through the whole stack, also while its messages are lost and doubled."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from filepath_sdk import Filepath, Session, Task
from tests.stack.conftest import RunningStack, eventually


def printed(task: Task, text: str) -> None:
    eventually(lambda: task.output().decode(), lambda shown: shown.endswith(text))


def test_a_program_that_asks_is_answered_and_its_input_ends(session: Session) -> None:
    task = session.start("python3 -c 'while True: print(eval(input()), flush=True)'", stdin_open=True)
    task.write("6 * 7\n")
    printed(task, "42\n")
    task.write("2 ** 10\n")
    printed(task, "1024\n")
    task.close_stdin()
    result = task.wait(60)

    assert (result.status, result.exit_code, result.stdout) == ("completed", 1, "42\n1024\n")
    assert "EOFError" in result.stderr


def test_what_is_written_before_the_sandbox_is_there_is_read(fp: Filepath) -> None:
    with fp.sessions.create() as session:
        task = session.start("cat", stdin_open=True)
        task.write("early")
        task.close_stdin()
        assert task.wait(120).stdout == "early"


def test_every_byte_comes_once_and_in_order_though_messages_are_doubled_and_lines_cut(
    stack: RunningStack, session: Session
) -> None:
    session.run("true")
    data = os.urandom(600_000)
    stack.faults("agents", seed=11, double=0.3, delaySeconds=[0, 0.05])
    try:
        task = session.start("sha256sum", stdin_open=True)
        task.write(data[:300_000])
        stack.faults("agents", seed=11, double=0.3, delaySeconds=[0, 0.05], cut=True)
        task.write(data[300_000:])
        task.close_stdin()
        result: Any = task.wait(120)
    finally:
        stack.faults("agents")

    assert result.stdout.split()[0] == hashlib.sha256(data).hexdigest()
