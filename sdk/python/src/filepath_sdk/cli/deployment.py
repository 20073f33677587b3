"""Which deployment a command is for, and as whom."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from filepath_sdk import config
from filepath_sdk.errors import NotConfigured

if TYPE_CHECKING:
    from filepath_sdk.client import Filepath


def connect(url: str | None = None) -> Filepath:
    from filepath_sdk.client import Filepath

    target = deployment(url)
    key = os.environ.get("FILEPATH_API_KEY") or config.load().key_for(target)
    fp = Filepath(key or "", target)
    if not key:
        fp.close()
        raise NotConfigured(
            f"no API key is known for {target}",
            what_to_do="Use `filepath signup` or `filepath signin`, or set FILEPATH_API_KEY.",
        )
    return fp


def known_url(url: str | None) -> str | None:
    return url or os.environ.get("FILEPATH_URL") or config.load().url


def deployment(url: str | None) -> str:
    target = known_url(url)
    if not target:
        raise NotConfigured(
            "the deployment's URL is not known",
            what_to_do="Give --url or set FILEPATH_URL. `filepath signup` and `filepath signin` keep it, with a key.",
        )
    return target


@contextlib.contextmanager
def without_key(url: str | None) -> Iterator[Filepath]:
    from filepath_sdk.client import Filepath

    # The empty key: one in the environment belongs to another account.
    with Filepath("", deployment(url)) as fp:
        yield fp
