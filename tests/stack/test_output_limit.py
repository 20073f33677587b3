"""A command that writes without end: stopped where the stack's owner said, and nothing before that is lost."""

from __future__ import annotations

import hashlib

from filepath_sdk import Filepath, Session
from tests.stack.conftest import OUTPUT_LIMIT_BYTES

_LINE = b"a line as a command may write it for ever and ever, 64 bytes long"[:63] + b"\n"


def test_a_command_that_writes_for_ever_is_stopped_at_the_limit_and_its_log_kept(
    fp: Filepath, session: Session
) -> None:
    task = session.start(f"setsid sleep 377 & yes '{_LINE.decode().strip()}'", timeout=600)
    result = task.wait(300)

    assert (result.status, result.reason, result.signal) == ("cancelled", "output_limit", "TERM")
    assert result.output_bytes == OUTPUT_LIMIT_BYTES
    kept = _LINE * (OUTPUT_LIMIT_BYTES // len(_LINE) + 1)
    assert hashlib.sha256(result.stdout_bytes).digest() == hashlib.sha256(kept[:OUTPUT_LIMIT_BYTES]).digest()
    assert fp.credits().held == 0
    assert "sleep 377" not in session.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
