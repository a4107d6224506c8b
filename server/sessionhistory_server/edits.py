"""The use cases of whole histories: their end is removed, they are copied, they begin anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.history import TENANT, new_id
from sessionhistory_server.store import forks, truncation
from sessionhistory_server.store.forks import Fork
from sessionhistory_server.store.sessions import SessionRef
from sessionhistory_server.store.truncation import Tail

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionhistory_server.model import Session, SessionContent, Truncated
    from sessionhistory_server.store.database import Database


class Edits:
    """Operations on whole histories."""

    def __init__(self, database: Database, *, token_counter: str, delete_retention: timedelta) -> None:
        self._database = database
        self._token_counter = token_counter
        self._retention = delete_retention

    async def truncate(
        self,
        session_id: str,
        user_id: str | None,
        after_sequence: int,
        *,
        expected_last_sequence: int | None,
    ) -> Truncated:
        """Remove the messages after a sequence."""
        tail = Tail(SessionRef.of(TENANT, session_id, user_id), after_sequence)
        return await self._database.write(
            lambda c: truncation.truncate(c, tail, expected_last_sequence=expected_last_sequence)
        )

    def plan(
        self, session_id: str, user_id: str | None, new_session_id: str, content: SessionContent
    ) -> Fork:
        """Say what to make of a session: all of it, but for what ``content`` says."""
        return Fork(
            source=SessionRef.of(TENANT, session_id, user_id),
            new=SessionRef.of(TENANT, new_session_id or new_id(), user_id or content.user_id),
            content=content,
            token_counter=self._token_counter,
            retention=self._retention,
        )

    async def fork(
        self, plan: Fork, *, up_to_sequence: int | None, allow_existing: bool
    ) -> tuple[Session, bool]:
        """Make a session with the messages of another, or find it; return it and whether it was made."""
        plan = plan._replace(up_to_sequence=up_to_sequence)
        return await self._database.write(lambda c: forks.fork(c, plan, allow_existing=allow_existing))

    async def reset(
        self, plan: Fork, *, keep_history: bool, keep_state: bool, previous_status: str
    ) -> tuple[Session, Session]:
        """End a session and make one that goes on in its place; return the new one and the old one."""
        plan = plan._replace(
            up_to_sequence=None if keep_history else 0,
            keeps_title=keep_history,
            keeps_state=keep_state,
        )
        return await self._database.write(lambda c: forks.reset(c, plan, previous_status))
