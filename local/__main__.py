"""`python -m local`: the stack on this machine, as `make` calls it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from rich.markup import escape

from local import account as empty_account
from local import engine
from local import image as sandbox_image
from local.follow import follow
from local.home import Home, PortsError
from local.stack import Stack
from local.steps import Failure, console


def up(home: Home, _arguments: argparse.Namespace) -> None:
    Stack(home).up()
    print(f'Next: eval "$(make -s env)", then call {home.front_url}/docs, or `make demo`. `make down` stops it.')


def down(home: Home, _arguments: argparse.Namespace) -> None:
    Stack(home).down()


def reset(home: Home, _arguments: argparse.Namespace) -> None:
    Stack(home).reset()


def logs(home: Home, _arguments: argparse.Namespace) -> None:
    follow(home)


def env(home: Home, _arguments: argparse.Namespace) -> None:
    if not Stack(home).is_up():
        print("The stack is not running. Start it: make up", file=sys.stderr)
    print(f"export FILEPATH_URL={home.front_url}")
    print(f"export FILEPATH_SOCKET_URL={home.socket_url}")


def account(home: Home, _arguments: argparse.Namespace) -> None:
    console.stderr = True  # what is printed otherwise is for a shell
    Stack(home).start_account()
    print(f"unset {' '.join(empty_account.NOT_ITS_OWN)}")
    for name, value in empty_account.exports(home).items():
        print(f"export {name}={shlex.quote(value)}")


def doors(home: Home, arguments: argparse.Namespace) -> None:
    Stack(home).open_doors(arguments.stack)
    print(f"{arguments.stack}: {home.front_url}, {home.socket_url}")


def demo(home: Home, _arguments: argparse.Namespace) -> None:
    Stack(home).up()
    from local import demo as main_job

    main_job.run(home)


def image(home: Home, _arguments: argparse.Namespace) -> None:
    try:
        print(sandbox_image.build(engine.find(home)))
    except (engine.NoEngineError, sandbox_image.NoImageError) as error:
        raise Failure(f"The sandbox's image: {error}") from None


def invite(home: Home, _arguments: argparse.Namespace) -> None:
    print(Stack(home).invoke("OperatorFunction", {"action": "invite"})["invite"])


def grant(home: Home, arguments: argparse.Namespace) -> None:
    wanted = {"action": "grant", "email": arguments.email, "credits": arguments.credits}
    answer = Stack(home).invoke("OperatorFunction", wanted)
    print(f"Granted {answer['granted']} credits to {answer['email']}, who has {answer['balance']} now.")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, help_text in (
        (up, "start the stack"),
        (down, "close all sessions, stop the stack, keep its state"),
        (reset, "stop the stack and forget its state"),
        (logs, "follow all logs"),
        (env, "print what to export"),
        (demo, "start the stack and do the main job"),
        (image, "build the sandbox's image, where it is not there yet"),
        (account, "start the emulator alone, and print what to export to deploy to it"),
        (invite, "make an invitation to sign up"),
    ):
        commands.add_parser(run.__name__, help=help_text).set_defaults(run=run)
    opening = commands.add_parser("doors", help="open them to another stack than that of `up`")
    opening.add_argument("stack")
    opening.set_defaults(run=doors)
    granting = commands.add_parser("grant", help="give an account credits")
    granting.add_argument("email")
    granting.add_argument("credits", type=int)
    granting.set_defaults(run=grant)
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    arguments = _arguments(words)
    try:
        arguments.run(Home.from_environment(), arguments)
    except (Failure, PortsError) as failure:
        console.print(f"\n[red]✗[/] {escape(str(failure))}", style="bold")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
