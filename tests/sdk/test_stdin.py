"""Writing to a command's stdin while it runs, with either client: each byte once, whatever becomes of the answers."""

from __future__ import annotations

import os

import pytest

from filepath_sdk import Conflict, Filepath
from tests.sdk.platform_double import Platform


def written(platform: Platform, workflow_id: str) -> bytes:
    return bytes(platform.tasks[workflow_id].stdin or b"")


def test_what_is_written_reaches_the_task_in_order_and_its_end_too(platform: Platform, fp: Filepath) -> None:
    task = fp.sessions.create().start("# played", stdin_open=True)
    large = os.urandom(150_000)
    task.write("text\n")
    task.write(large)
    task.write(b"end")
    task.close_stdin()
    assert written(platform, task.id) == b"text\n" + large + b"end"
    assert platform.tasks[task.id].stdin_closed


def test_a_write_whose_answer_was_lost_is_not_written_twice(platform: Platform, fp: Filepath) -> None:
    task = fp.sessions.create().start("# played", stdin_open=True)
    platform.lose_next = 1
    task.write("once")
    task.write(" more")
    assert written(platform, task.id) == b"once more"


def test_a_task_that_was_not_opened_for_it_refuses(fp: Filepath) -> None:
    task = fp.sessions.create().start("# played")
    with pytest.raises(Conflict):
        task.write("x")


def test_a_handle_from_elsewhere_writes_behind_what_is_there(platform: Platform, fp: Filepath) -> None:
    session = fp.sessions.create()
    task = session.start("# played", stdin_open=True)
    task.write("first ")
    fp.tasks.attach(task.id).write("second")
    assert written(platform, task.id) == b"first second"
