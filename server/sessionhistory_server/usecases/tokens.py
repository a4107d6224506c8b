"""The use cases of recounts: count the messages of sessions again after a change of the token counter."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionhistory_server.errors import UnavailableError, session_not_found
from sessionhistory_server.model.tokens import MIXED
from sessionhistory_server.store import tokens
from sessionhistory_server.store.postgres.database import Database
from sessionhistory_server.store.postgres.preflight import require_ready
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.store.sessions import lifecycle
from sessionhistory_server.store.tokens import Counts, SessionKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.message import Message
    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.tokens import TokenCounters

_SESSIONS_AT_ONCE: Final = 1_000
_ATTEMPTS: Final = 3
_POOL_TIMEOUT_SECONDS: Final = 5.0
_KEYS: Final = 2**128


class Recounted(NamedTuple):
    """A session with its new counters, and the number of its messages whose token counts have changed."""

    session: Session
    changed_messages: int


class TokenRecounts:
    """The use case that counts the messages of a session again, by the server's own counter."""

    def __init__(self, database: Database, counters: TokenCounters) -> None:
        self._database = database
        self._counters = counters

    async def recount(self, caller: Caller, session_id: str) -> Recounted:
        """Count the messages of a live session again.

        Raises:
            NotFoundError: there is no such session for this caller.
        """
        ref = SessionRef.of(caller, session_id)
        found = await self._database.read(lambda connection: lifecycle.get(connection, ref))
        recounted = await self.by_key(SessionKey(ref.session_key, found.create_time), gate=ref)
        if recounted is None:
            raise session_not_found(session_id)
        return recounted

    async def by_key(self, key: SessionKey, gate: SessionRef | None = None) -> Recounted | None:
        """Count the messages of a session, live or not, again; return ``None`` if the session does not exist.

        The messages are counted before the session is locked. Under the lock, only the messages are counted
        that were appended in the meantime. ``gate`` is the session as its caller names it, if there is one.
        """
        session = _SessionRecount(key, self._counters)
        more = True
        while more:
            page, more = await self._database.read(session.next_messages)
            await session.count(page)
        return await self._database.write(session.finish, lock=gate or key, long=True)


class _SessionRecount:
    """The recount of one session, with the counts until now."""

    def __init__(self, key: SessionKey, counters: TokenCounters) -> None:
        self._key = key
        self._counters = counters
        self._counts = Counts()
        self._token_counter = counters.name

    async def next_messages(self, connection: Connection) -> tuple[list[Message], bool]:
        """Return the next messages to count, and whether more follow."""
        return await tokens.next_messages(connection, self._key.session_key, self._counts.last_sequence)

    async def count(self, page: list[Message]) -> None:
        """Count messages, and keep their counts."""
        self._counts.add(page, await self._count(page))

    async def finish(self, connection: Connection) -> Recounted | None:
        """Count messages that were appended since, and store all counts; ``None`` if there is no session."""
        async with tokens.locked(connection, self._key) as is_there:
            if not is_there:
                return None
            more = True
            while more:
                page, more = await self.next_messages(connection)
                await self.count(page)
            await self._recount_summaries(connection)
            return Recounted(
                *await tokens.replace_counts(
                    connection, self._key.session_key, self._counts, self._token_counter
                )
            )

    async def _recount_summaries(self, connection: Connection) -> None:
        """Count the summaries, which are few, while the session is locked."""
        after, more = 0, True
        while more:
            page, more = await tokens.next_summaries(connection, self._key.session_key, after)
            if page:
                counts = await self._count(page)
                await tokens.replace_summary_counts(connection, self._key.session_key, page, counts)
                after = page[-1].sequence

    async def _count(self, page: list[Message]) -> list[int]:
        contents = [message.content for message in page]
        counts, token_counter = await self._counters.count(contents, self._counters.name)
        if token_counter == MIXED:
            self._token_counter = MIXED
        return counts


@dataclass(slots=True)
class RecountTotals:
    """The numbers of a recount of all sessions until now."""

    sessions: int = 0
    recounted_sessions: int = 0
    changed_messages: int = 0
    mixed_sessions: int = 0
    """The sessions with messages at which the counter failed."""
    busy_sessions: int = 0
    """The sessions that other transactions kept locked for too long."""

    def add(self, recounted: Recounted) -> None:
        """Add a session that was recounted."""
        self.recounted_sessions += 1
        self.changed_messages += recounted.changed_messages
        self.mixed_sessions += recounted.session.token_counter == MIXED

    @property
    def complete(self) -> bool:
        """Whether the counter has counted all sessions."""
        return not (self.mixed_sessions or self.busy_sessions)

    def report(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


async def recount_all(
    url: str,
    counters: TokenCounters,
    totals: RecountTotals,
    *,
    everything: bool,
    show_progress: Callable[[float], None],
    pooled: bool = False,
) -> None:
    """Recount the sessions that have another counter than the server's, or all sessions.

    Args:
        url: The database. Servers may continue to use it.
        counters: The counters. The recount uses the server's own.
        totals: The recount adds to these numbers, session by session.
        everything: Whether to recount all sessions.
        show_progress: Called after each session with the finished share, from 0 to 1.
        pooled: Whether the URL leads through a pooler that may move sessions.

    Raises:
        psycopg.Error: the database cannot be reached.
        UnavailableError: the database cannot be used, from the start or later.
    """
    await require_ready(url, pooled=pooled)
    database = Database(url, pool_size=1, pool_timeout_seconds=_POOL_TIMEOUT_SECONDS, pooled=pooled)
    await database.open_pool()
    try:
        recounts, failed = TokenRecounts(database, counters), set[SessionKey]()
        async for key, counter in _sessions(database):
            totals.sessions += 1
            if (everything or counter != counters.name) and not await _recount(recounts, key, totals):
                failed.add(key)
            # Keys are hashes, and ascend here, so a key shows the finished share of the sessions.
            show_progress(int(key.session_key.replace("-", ""), 16) / _KEYS)
        # A caller may have forked a session before its recount, with a key that the recount had passed
        # already.
        while forks := await _counted_otherwise(database, counters.name, failed):
            for key in forks:
                totals.sessions += 1
                await _recount(recounts, key, totals)
            failed.update(forks)
    finally:
        await database.close()


async def _sessions(database: Database) -> AsyncIterator[tuple[SessionKey, str]]:
    """Yield all sessions with their counters, in the order of their keys."""
    after = f"{0:032x}"
    while found := await _next_sessions(database, after):
        for session in found:
            yield session
        after = found[-1][0].session_key


async def _next_sessions(database: Database, after: str) -> list[tuple[SessionKey, str]]:
    return await database.read(lambda c: tokens.next_sessions(c, after, limit=_SESSIONS_AT_ONCE))


async def _counted_otherwise(
    database: Database, counter: str, known: Container[SessionKey]
) -> list[SessionKey]:
    """Return the sessions that have another counter, except the known ones."""
    return [key async for key, other in _sessions(database) if other != counter and key not in known]


async def _recount(recounts: TokenRecounts, key: SessionKey, totals: RecountTotals) -> bool:
    """Recount a session; return whether it needs no further recount."""
    for _ in range(_ATTEMPTS):
        try:
            recounted = await recounts.by_key(key)
        except UnavailableError as error:
            if error.reason != "TRANSACTION_CONFLICT":
                raise
        else:
            if recounted:  # the session was not purged in the meantime
                totals.add(recounted)
            return recounted is None or recounted.session.token_counter != MIXED
    totals.busy_sessions += 1
    return False
