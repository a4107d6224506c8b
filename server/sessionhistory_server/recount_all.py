"""Counting the messages of all sessions again, one session after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.errors import UnavailableError, database_unavailable
from sessionhistory_server.model import MIXED
from sessionhistory_server.recount import Recounts
from sessionhistory_server.store import recount
from sessionhistory_server.store.database import Database
from sessionhistory_server.store.readiness import State, probe
from sessionhistory_server.store.recount import SessionKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container

    from sessionhistory_server.recount import Recounted
    from sessionhistory_server.tokens import TokenCounters

_SESSIONS_AT_ONCE: Final = 1_000
_ATTEMPTS: Final = 3
_POOL_TIMEOUT_SECONDS: Final = 5.0


@dataclass(slots=True)
class Tally:
    """What has been done."""

    sessions: int = 0
    recounted_sessions: int = 0
    changed_messages: int = 0
    mixed_sessions: int = 0
    busy_sessions: int = 0
    share: float = 0.0
    """Of all keys that there can be, which sessions have by chance."""

    def add(self, recounted: Recounted) -> None:
        """Count a session that was recounted."""
        self.recounted_sessions += 1
        self.changed_messages += recounted.changed_messages
        self.mixed_sessions += recounted.session.token_counter == MIXED

    @property
    def complete(self) -> bool:
        """Whether all sessions are counted by the counter."""
        return not (self.mixed_sessions or self.busy_sessions)

    def report(self) -> dict[str, Any]:
        """Return the numbers, by name."""
        names = ("sessions", "recounted_sessions", "changed_messages", "mixed_sessions", "busy_sessions")
        return {name: getattr(self, name) for name in names}

    def text(self) -> str:
        """Return the numbers for people."""
        recounted = f"{self.recounted_sessions:,} of {self.sessions:,} sessions recounted"
        lines = [f"{recounted}: {self.changed_messages:,} token counts changed"]
        if self.mixed_sessions:
            lines.append(f"{self.mixed_sessions:,} stay mixed: the counter failed at messages of theirs")
        if self.busy_sessions:
            lines.append(f"{self.busy_sessions:,} were in use for too long: run this again")
        return "\n".join(lines)


async def recount_all(
    url: str, counters: TokenCounters, done: Tally, *, everything: bool, tell: Callable[[], None]
) -> None:
    """Count by the counters' own what is counted by another, or everything.

    Args:
        url: The database, which others may go on using.
        counters: Whose own counter counts.
        done: Is told what has been done.
        everything: Whether to recount also sessions that are counted by it already.
        tell: Called when there is more of it.

    Raises:
        psycopg.Error: the database cannot be reached.
        UnavailableError: it cannot be used, or no longer.
    """
    database = Database(url, pool_size=1, pool_timeout_seconds=_POOL_TIMEOUT_SECONDS)
    await database.open_pool()
    try:
        state = await database.read(probe)
        if state is not State.READY:
            raise database_unavailable(state.value)
        recounts, left = Recounts(database, counters), set[SessionKey]()
        async for key, counter in _sessions(database):
            done.sessions += 1
            if (everything or counter != counters.name) and not await _recount(recounts, key, done):
                left.add(key)
            done.share = int(key.session_key.replace("-", ""), 16) / 2**128
            tell()
        # Behind those that were done others may have made copies of those that were not.
        while copies := await _others(database, counters.name, left):
            for key in copies:
                done.sessions += 1
                await _recount(recounts, key, done)
            left.update(copies)
    finally:
        await database.close()


async def _sessions(database: Database) -> AsyncIterator[tuple[SessionKey, str]]:
    """Yield all sessions with their counters, in the order of their keys."""
    after = f"{0:032x}"
    while found := await _next_sessions(database, after):
        for one in found:
            yield one
        after = found[-1][0].session_key


async def _next_sessions(database: Database, after: str) -> list[tuple[SessionKey, str]]:
    return await database.read(lambda c: recount.next_sessions(c, after, limit=_SESSIONS_AT_ONCE))


async def _others(database: Database, counter: str, known: Container[SessionKey]) -> list[SessionKey]:
    """Return the sessions that are counted by another counter, but for those that are known."""
    return [key async for key, other in _sessions(database) if other != counter and key not in known]


async def _recount(recounts: Recounts, key: SessionKey, done: Tally) -> bool:
    """Recount a session; return whether nothing is left to do with it."""
    for _ in range(_ATTEMPTS):
        try:
            recounted = await recounts.by_key(key)
        except UnavailableError as error:
            if error.reason != "TRANSACTION_CONFLICT":
                raise
        else:
            if recounted:  # and not purged in the meantime
                done.add(recounted)
            return recounted is None or recounted.session.token_counter != MIXED
    done.busy_sessions += 1
    return False
