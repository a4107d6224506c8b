"""The use case of summaries, which replace older messages in windows."""

from __future__ import annotations

from functools import partial
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
    from sessionhistory_server.usecases.metering import Metering


class Summaries:
    """The use case of summaries.

    Args:
        database: The database of the summaries.
        metering: Counts the summaries, and limits them.
        counters: Count the summaries that callers send without a token count.
    """

    def __init__(self, database: Database, metering: Metering, counters: TokenCounters) -> None:
        self._database = database
        self._metering = metering
        self._counting = Counting(counters)

    async def compact(self, caller: Caller, asked: Compact) -> Summary:
        """Store a summary, counted by the session's own counter; return the stored summary."""
        async with self._metering.room(caller) as room:
            compaction = Compaction(
                asked=asked,
                tenant_id=caller.tenant_id,
                ref=SessionRef.of(caller, asked.session_id),
                message=count_characters(asked.message),
                made_id=new_id(),
                token_counter=COUNTED_BY_CHARACTERS,
                refusal=room.take_bytes(asked.message.size_bytes),
            )
            return await self._counting.store_counted(compaction, self._store)

    async def _store(self, compaction: Compaction) -> Summary:
        ref = compaction.ref
        compact = partial(summaries.compact, new=compaction)
        change = self._metering.measured(compaction.tenant_id, ref, compact)
        return await self._database.write(change, lock=ref)
