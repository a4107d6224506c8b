"""Compacting a session: a summary that stands for its older messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.counting import store_counted
from sessionhistory_server.history import TENANT, new_id
from sessionhistory_server.model import CHARACTERS
from sessionhistory_server.store import compaction
from sessionhistory_server.store.sessions import SessionRef

if TYPE_CHECKING:
    from sessionhistory_server.model import NewMessage, Summary
    from sessionhistory_server.store.database import Database
    from sessionhistory_server.tokens import TokenCounters


class CompactRequest(NamedTuple):
    """A summary of the messages up to a sequence, and what the session is expected to be like."""

    session_id: str
    user_id: str | None
    through_sequence: int
    message: NewMessage
    expected_last_sequence: int | None
    expected_compacted_through_sequence: int | None


class Compactor:
    """Stores the summaries of sessions."""

    def __init__(self, database: Database, counters: TokenCounters) -> None:
        self._database = database
        self._counters = counters

    async def compact(self, request: CompactRequest) -> Summary:
        """Store a summary, counted by the session's own counter; return it with what it covers."""
        asked = compaction.Compaction(
            ref=SessionRef.of(TENANT, request.session_id, request.user_id),
            through_sequence=request.through_sequence,
            message=request.message,
            made_id=new_id(),
            token_counter=CHARACTERS,
            expected_last_sequence=request.expected_last_sequence,
            expected_compacted_through_sequence=request.expected_compacted_through_sequence,
        )
        return await store_counted(asked, self._counters.name, self._count, self._store)

    async def _store(self, asked: compaction.Compaction) -> Summary:
        return await self._database.write(lambda connection: compaction.compact(connection, asked))

    async def _count(self, asked: compaction.Compaction, counter: str) -> compaction.Compaction:
        (count,), token_counter = await self._counters.count([asked.message.content], counter)
        message = asked.message._replace(token_count=count)
        return asked._replace(message=message, token_counter=token_counter)
