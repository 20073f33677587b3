"""The emulator as a program: MiniStack with this package's mends, bound to this machine, enforcing IAM.

`python -m local.emulator` runs it in the foreground; `stack.py` starts it in the background. Only what the emulator
needs is in its environment, since it passes all of it on to the functions.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping

from local.home import REGION, Home

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "ALLOW_NO_ISOLATION", "SSL_CERT_FILE", "VIRTUAL_ENV")


def environment(home: Home, own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment that the emulator is started with: nothing of the owner's own but what is named above."""
    return {
        **{name: own[name] for name in PASSED_ON if name in own},
        **home.environment(),
        **home.root_key().environment(),
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(home.emulator_port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "MINISTACK_REGION": REGION,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home.state),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home.state / "objects"),
        "TMPDIR": str(home.scratch),
        "PYTHONUNBUFFERED": "1",
    }


def main() -> None:
    home = Home.from_environment()
    for leftovers in (home.scratch, home.sandboxes):
        shutil.rmtree(leftovers, ignore_errors=True)
        leftovers.mkdir(parents=True)

    from local import mends

    # It warns with each deployment of metrics that nobody asked for.
    logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)
    # What every thread is at, into the log: kill -USR1.
    faulthandler.register(signal.SIGUSR1)
    mends.apply(home)

    from ministack import app

    sys.argv = ["ministack"]
    app.main()


if __name__ == "__main__":
    main()
