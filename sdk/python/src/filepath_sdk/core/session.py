"""What a handle on a session says without asking, in both clients."""

from __future__ import annotations

from filepath_sdk import calls
from filepath_sdk.core.deployment import Deployment
from filepath_sdk.models import SessionInfo


class SessionHandle:
    """`info` is what was known when last asked; `refresh()` asks."""

    def __init__(self, deployment: Deployment, info: SessionInfo) -> None:
        self._deployment = deployment
        self.info = info

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, status={self.status!r})"

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def status(self) -> str:
        return self.info.status

    async def _leave(self, error: BaseException | None) -> None:
        """Close at the end of a block. What went wrong in it first is what the caller needs to see."""
        closing = self._deployment.send(calls.close_session(self.id))
        await (closing if error is None else self._deployment.backend.part(closing))
