"""The use cases that change what a session has become: its end is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.history import TENANT
from sessionhistory_server.store import truncation
from sessionhistory_server.store.sessions import SessionRef
from sessionhistory_server.store.truncation import Tail

if TYPE_CHECKING:
    from sessionhistory_server.model import Truncated
    from sessionhistory_server.store.database import Database


class Edits:
    """Operations on whole histories."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
