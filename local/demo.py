"""The main job on this machine's stack: the SDK's demo with an account made for it, held to what is promised here."""

from __future__ import annotations

import secrets

from filepath_sdk import Filepath, FilepathError
from filepath_sdk import demo as main_job
from filepath_sdk.demo import Demo
from local.home import Home
from local.steps import Failure, console

MEDIAN_SECONDS = 0.150
NINETEENTH_SECONDS = 0.300


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
    _say(f"\nSigned up as {email}, with an API key.")
    with Filepath(key, home.front_url, socket_url=home.socket_url) as caller:
        seen = main_job.run(caller, _say, keep=True)
    _say(seen.summary())
    _judge(seen)
    _say(_how_to_go_on(home, str(key), seen.session_id))


def _say(text: str) -> None:
    console.print(text, markup=False)


def _judge(seen: Demo) -> None:
    if seen.median > MEDIAN_SECONDS or seen.nineteenth > NINETEENTH_SECONDS:
        raise Failure("Output came too late. Is this machine busy with something else?")
    if not seen.result.credits_charged or seen.credits.held:
        raise Failure("The task was not settled as it should be. See `make logs`.")


def _how_to_go_on(home: Home, key: str, session_id: str) -> str:
    return f"""
To go on:
    export FILEPATH_URL={home.front_url} FILEPATH_SOCKET_URL={home.socket_url} FILEPATH_API_KEY={key}
    .venv/bin/filepath run --session {session_id} -- 'echo hello > note; ls'
    curl -s -H "x-api-key: $FILEPATH_API_KEY" $FILEPATH_URL/api/credits
    make logs      what happens inside        make down      stop, and keep what there is"""
