"""What finished commands leave running: shown, charged, and stopped, on the whole stack."""

from __future__ import annotations

from typing import Any

from filepath_sdk import Filepath, Session
from tests.stack.conftest import eventually

DAEMON = "setsid sleep {} >/dev/null 2>&1 & true"
RUNNING = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"


def background(session: Session) -> dict[str, Any]:
    shown: dict[str, Any] = session.refresh().raw["background"]
    return shown


def test_it_is_shown_charged_and_stopped_after_its_time(fp: Filepath) -> None:
    with fp.sessions.create(background=4) as session:
        session.run(DAEMON.format(395))
        begun = eventually(lambda: background(session), lambda shown: shown["since"])
        over = eventually(lambda: background(session), lambda shown: shown["stoppedReason"])
        left = session.run(RUNNING).stdout

    assert (begun["processes"], begun["creditsCharged"], begun["stoppedReason"]) == (1, 1, None)
    assert over == {"processes": 0, "since": None, "creditsCharged": 1, "stoppedReason": "background_limit"}
    assert "sleep 395" not in left
    assert (fp.credits().balance, fp.credits().held) == (1000 - 3, 0)


def test_it_is_stopped_when_credits_end(fp: Filepath) -> None:
    """All that the account has is held for another task."""
    with fp.sessions.create() as session, fp.sessions.create() as other:
        session.run("true")
        session.start("setsid sleep 396 >/dev/null 2>&1 & sleep 6", timeout=60)
        rest = fp.credits().available
        hog = other.start("sleep 300", timeout=rest * 60)
        over = eventually(lambda: background(session), lambda shown: shown["stoppedReason"])
        hog.cancel()
        hog.wait(60)
        left = session.run(RUNNING).stdout

    assert (over["stoppedReason"], over["creditsCharged"]) == ("insufficient_credits", 0)
    assert "sleep 396" not in left
    assert fp.credits().held == 0


def test_closing_the_session_ends_it(fp: Filepath) -> None:
    session = fp.sessions.create()
    session.run(DAEMON.format(397))
    eventually(lambda: background(session), lambda shown: shown["since"])
    session.close()
    ended = eventually(session.refresh, lambda info: info.status == "closed")

    assert ended.raw["background"] == {"processes": 0, "since": None, "creditsCharged": 1, "stoppedReason": None}
    assert fp.credits().balance == 1000 - 2
