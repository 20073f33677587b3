"""`python -m deploy up|down ENV`, as `make deploy` and `make undeploy` call it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from deploy.down import down
from deploy.environment import Environment
from deploy.failure import Failure
from deploy.up import Wishes, up


def _up(arguments: argparse.Namespace) -> None:
    environment = Environment.read(arguments.environment, arguments.parameters.split())
    up(environment, Wishes(arguments.image or None, arguments.uncompiled))


def _down(arguments: argparse.Namespace) -> None:
    down(Environment.read(arguments.environment), arguments.confirm or None, keep_data=arguments.keep_data)


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    deploying = commands.add_parser("up", help="build and deploy")
    deploying.set_defaults(run=_up)
    deploying.add_argument("environment", help="a table of samconfig.toml: dev, prod")
    deploying.add_argument("--parameters", default="", metavar="'NAME=VALUE …'", help="of template.yaml")
    deploying.add_argument("--image", default="", help="push this image in place of one built now")
    deploying.add_argument("--uncompiled", action="store_true", help="without the Python that the layer is for")
    removing = commands.add_parser("down", help="remove all of it")
    removing.set_defaults(run=_down)
    removing.add_argument("environment")
    removing.add_argument("--confirm", default="", metavar="STACK", help="its name, in place of typing it")
    removing.add_argument("--keep-data", action="store_true", help="leave table and bucket")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    arguments = _arguments(words)
    # What programs print that this one starts comes in its place.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        arguments.run(arguments)
    except Failure as failure:
        print(f"\n{failure}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"\nAWS refused a step: {error}\nMend that and run the same command again.", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
