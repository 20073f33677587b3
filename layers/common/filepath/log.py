"""The one logger: JSON lines, each with the request's, the session's and the workflow's id once these are known.

Keys are appended where an id becomes known, and cleared by the handler before the next invocation. No secret is ever
given to it: commands, environments, keys and tokens are not logged.
"""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger(service="filepath")
