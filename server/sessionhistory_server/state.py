"""The use case of a session's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.history import TENANT
from sessionhistory_server.store import state
from sessionhistory_server.store.sessions import SessionRef

if TYPE_CHECKING:
    from sessionhistory_server.model import Session, StateChange
    from sessionhistory_server.store.database import Database


class SessionState:
    """Operations on the states of sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def patch(self, session_id: str, user_id: str | None, change: StateChange) -> Session:
        """Change a state by a merge patch; return the session after it."""
        ref = SessionRef.of(TENANT, session_id, user_id)
        return await self._database.write(lambda connection: state.patch(connection, ref, change))
