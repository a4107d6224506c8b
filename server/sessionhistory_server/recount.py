"""Counting the messages of sessions again, after the token counter has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.errors import session_not_found
from sessionhistory_server.history import TENANT
from sessionhistory_server.model import MIXED
from sessionhistory_server.store import recount, sessions
from sessionhistory_server.store.recount import Counts, SessionKey
from sessionhistory_server.store.sessions import SessionRef

if TYPE_CHECKING:
    from sessionhistory_server.model import Message, Session
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.database import Database
    from sessionhistory_server.tokens import TokenCounters


class Recounted(NamedTuple):
    """A session with its new numbers, and how many of its messages have another count than before."""

    session: Session
    changed_messages: int


class Recounts:
    """Counts by the server's counter what was counted by any."""

    def __init__(self, database: Database, counters: TokenCounters) -> None:
        self._database = database
        self._counters = counters

    async def session(self, session_id: str, user_id: str | None) -> Recounted:
        """Count the messages of a live session again.

        Raises:
            NotFoundError: there is none for this caller.
        """
        ref = SessionRef.of(TENANT, session_id, user_id)
        found = await self._database.read(lambda connection: sessions.get(connection, ref))
        recounted = await self.by_key(SessionKey(ref.session_key, found.create_time))
        if recounted is None:
            raise session_not_found(session_id)
        return recounted

    async def by_key(self, key: SessionKey) -> Recounted | None:
        """Count the messages of a session again, live or not; ``None`` if it is no longer there.

        Counting is over before the session is locked, but for what is appended in the meantime.
        """
        work = _Work(key, self._counters)
        more = True
        while more:
            page, more = await self._database.read(work.next_messages)
            await work.count(page)
        return await self._database.write(work.finish)


class _Work:
    """The recount of a session, as far as it has got."""

    def __init__(self, key: SessionKey, counters: TokenCounters) -> None:
        self._key = key
        self._counters = counters
        self._counts = Counts()
        self._token_counter = counters.name

    async def next_messages(self, connection: Connection) -> tuple[list[Message], bool]:
        """Return some messages that are to be counted, and whether there are more."""
        return await recount.next_messages(connection, self._key.session_key, self._counts.last_sequence)

    async def count(self, page: list[Message]) -> None:
        """Count messages."""
        self._counts.add(page, await self._counted(page))

    async def _counted(self, page: list[Message]) -> list[int]:
        contents = [message.content for message in page]
        counts, token_counter = await self._counters.count(contents, self._counters.name)
        if token_counter == MIXED:
            self._token_counter = MIXED
        return counts

    async def finish(self, connection: Connection) -> Recounted | None:
        """Count the messages that have come since, and exchange the numbers."""
        async with recount.locked(connection, self._key) as is_there:
            if not is_there:
                return None
            more = True
            while more:
                page, more = await self.next_messages(connection)
                await self.count(page)
            await self._weigh_summaries(connection)
            return Recounted(
                *await recount.exchange(connection, self._key.session_key, self._counts, self._token_counter)
            )

    async def _weigh_summaries(self, connection: Connection) -> None:
        """Count the summaries, which are few, while the session is locked."""
        after, more = 0, True
        while more:
            page, more = await recount.next_summaries(connection, self._key.session_key, after)
            if page:
                counts = await self._counted(page)
                await recount.weigh(connection, self._key.session_key, page, counts)
                after = page[-1].sequence
