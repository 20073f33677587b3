"""What stops a deployment: something that its owner has to mend."""

from __future__ import annotations


class Failure(Exception):
    """The message says what it is and what to do."""
