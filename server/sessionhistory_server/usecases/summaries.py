"""The use case of summaries, which replace older messages in windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.model.tokens import COUNTED_BY_CHARACTERS
from sessionhistory_server.store import summaries
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.store.summaries import Compaction
from sessionhistory_server.usecases.counting import Counting, count_characters
from sessionhistory_server.usecases.ids import new_id

if TYPE_CHECKING:
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.summary import Compact, Summary
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.tokens import TokenCounters


class Summaries:
    """The use case of summaries."""

    def __init__(self, database: Database, counters: TokenCounters) -> None:
        self._database = database
        self._counting = Counting(counters)

    async def compact(self, caller: Caller, asked: Compact) -> Summary:
        """Store a summary, counted by the session's own counter; return the stored summary."""
        compaction = Compaction(
            asked=asked,
            ref=SessionRef.of(caller, asked.session_id),
            message=count_characters(asked.message),
            made_id=new_id(),
            token_counter=COUNTED_BY_CHARACTERS,
        )
        return await self._counting.store_counted(compaction, self._store)

    async def _store(self, compaction: Compaction) -> Summary:
        return await self._database.write(
            lambda connection: summaries.compact(connection, compaction), lock=compaction.ref
        )
