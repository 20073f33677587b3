"""The main job, done once by the SDK as any caller would, with a clock on it.

The command writes the time into each line it prints; the delay shown is from there to the line's arrival here.
"""

from __future__ import annotations

import secrets
import statistics
import time
from dataclasses import dataclass, field

from filepath_sdk import Filepath, FilepathError
from local.home import Home
from local.steps import Failure, console

LINES = 20
COMMAND = f'for i in $(seq {LINES}); do echo "$(date +%s%N) line $i"; sleep 0.5; done'
MEDIAN_SECONDS = 0.150
NINETEENTH_SECONDS = 0.300


@dataclass
class Watch:
    """Shows each line as it comes, and notes how long it took."""

    delays: list[float] = field(default_factory=list)
    _rest: str = ""

    def __call__(self, text: str) -> None:
        now = time.time()
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            written, _, words = line.partition(" ")
            delay = now - int(written) / 1e9
            self.delays.append(delay)
            console.print(f"    {words:<10}[dim]{delay * 1000:6.0f} ms[/]")

    def judge(self) -> str:
        """What the delays come to, or why they are not good enough."""
        if len(self.delays) != LINES:
            raise Failure(f"{len(self.delays)} lines came, of {LINES}. See `make logs`.")
        median, nineteenth = statistics.median(self.delays), sorted(self.delays)[18]
        said = f"median {median * 1000:.0f} ms, 19 of {LINES} within {nineteenth * 1000:.0f} ms"
        if median > MEDIAN_SECONDS or nineteenth > NINETEENTH_SECONDS:
            raise Failure(f"Output came too late: {said}. Is this machine busy with something else?")
        return said


def run(home: Home) -> None:
    try:
        _run(home)
    except FilepathError as error:
        raise Failure(f"{error}. See `make logs`.") from error


def _run(home: Home) -> None:
    email = f"demo-{secrets.token_hex(4)}@example.com"
    with Filepath(url=home.front_url, socket_url=home.socket_url, api_key="") as visitor:
        visitor.sign_up(email, secrets.token_urlsafe(16), "Demo")
        key = visitor.keys.create("demo").key
    console.print(f"\nSigned up as {email}, with an API key. Opening a session and running, in its sandbox:")
    console.print(f"    [bold]{COMMAND}[/]", markup=True)
    watch = Watch()
    with Filepath(key, home.front_url, socket_url=home.socket_url) as caller:
        begun = time.monotonic()
        session = caller.sessions.create(name="demo")
        result = session.run(COMMAND, timeout=60, on_stdout=watch)
        took = time.monotonic() - begun
        credits = caller.credits()
    console.print(f"Delays: {watch.judge()}.")
    console.print(
        f"Exit code {result.exit_code}, {result.credits_charged} credit charged, balance {credits.balance} "
        f"(held {credits.held}), {took:.1f} s with the sandbox's start."
    )
    if result.exit_code != 0 or result.status != "completed" or not result.credits_charged or credits.held:
        raise Failure(f"The task ended as {result.status}, not as it should. See `make logs`.")
    console.print(_how_to_go_on(home, str(key), session.id), markup=False)


def _how_to_go_on(home: Home, key: str, session_id: str) -> str:
    return f"""
To go on:
    export FILEPATH_URL={home.front_url} FILEPATH_SOCKET_URL={home.socket_url} FILEPATH_API_KEY={key}
    .venv/bin/filepath run --session {session_id} -- 'echo hello > note; ls'
    curl -s -H "x-api-key: $FILEPATH_API_KEY" $FILEPATH_URL/api/credits
    make logs      what happens inside        make down      stop, and keep what there is"""
