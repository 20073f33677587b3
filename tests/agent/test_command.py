"""A command's start, which the agent waits for and can do nothing beside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.agent.conftest import ROOT


def test_an_agent_that_is_kept_from_starting_a_command_ends() -> None:
    program = """
import os, pathlib, time
from agent import command, privileges
command._START_SECONDS = 0.2
os.posix_spawn = lambda *_, **__: time.sleep(10)  # as where another command stops what is about to become this one
command.start(command.Command("true", {}, pathlib.Path("/"), None), privileges.User.of(None))
"""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "sandbox")}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert ended.returncode == -signal.SIGALRM
