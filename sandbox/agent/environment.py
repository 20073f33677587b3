"""What a command finds in its environment: a list of what it gets, never the agent's own with things taken out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.privileges import User

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base(user: User, workspace: Path, session_id: str, helpers: Path) -> dict[str, str]:
    """What every command of the sandbox gets. `helpers` holds the programs that talk to the agent."""
    own = workspace / ".local"
    return {
        # As Debian's ~/.profile has it: what `pip install` puts there is stronger than what the image came with.
        "PATH": f"{own / 'bin'}:{_PATH}:{helpers}",
        # So that `npm install --global` works without root, and what it installs is on the PATH too.
        "NPM_CONFIG_PREFIX": str(own),
        "HOME": str(workspace),
        "USER": user.name,
        "LOGNAME": user.name,
        "SHELL": "/bin/bash",
        # Not LANG: the other eleven categories are C's own, and every program would open a file for each of them.
        "LC_CTYPE": "C.UTF-8",
        "TERM": "dumb",
        "TMPDIR": "/tmp",  # noqa: S108 - the command's own, not a file of ours
        # There is nobody to ask.
        "GIT_TERMINAL_PROMPT": "0",
        "DEBIAN_FRONTEND": "noninteractive",
        "FILEPATH_SESSION_ID": session_id,
    }


def of_command(
    base_variables: Mapping[str, str], session: Mapping[str, str], task: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """The nearer to the command, the stronger; `own` names the command to its helpers and cannot be overridden."""
    return {**base_variables, **session, **task, **own}
