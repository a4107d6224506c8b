"""The use case of where a user's conversation goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.history import TENANT, new_id
from sessionhistory_server.store import active_sessions
from sessionhistory_server.store.sessions import SessionRef

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionhistory_server.model import Session, SessionContent
    from sessionhistory_server.store.database import Database


class ActiveSessions:
    """The sessions in which users are active."""

    def __init__(self, database: Database, *, token_counter: str, delete_retention: timedelta) -> None:
        self._database = database
        self._token_counter = token_counter
        self._retention = delete_retention

    async def get(self, user_id: str) -> Session:
        """Return the one with the latest activity.

        Raises:
            NotFoundError: the user has none.
        """
        found = await self._newest(user_id)
        if found is None:
            raise NotFoundError("the user has no active session", reason="SESSION_NOT_FOUND")
        return found

    async def get_or_create(
        self, user_id: str, session_id: str, content: SessionContent
    ) -> tuple[Session, bool]:
        """Return it, or make one if there is none; and whether it was made."""
        if found := await self._newest(user_id):
            return found, False
        ref = SessionRef.of(TENANT, session_id or new_id(), user_id)
        return await self._database.write(
            lambda connection: active_sessions.newest_or_new(
                connection,
                TENANT,
                ref,
                content,
                token_counter=self._token_counter,
                retention=self._retention,
            )
        )

    async def _newest(self, user_id: str) -> Session | None:
        return await self._database.read(lambda c: active_sessions.newest(c, TENANT, user_id))
