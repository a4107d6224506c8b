"""Let calls wait in memory for a locked session or a share of the pool, before they take a connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sessionhistory_server import call_context
from sessionhistory_server.errors import ResourceExhaustedError, transaction_conflict
from sessionhistory_server.fair_queue import FairQueue
from sessionhistory_server.store.postgres.connect import LOCK_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Hashable, Iterable

# A write that takes longer than this is assumed to wait for a lock.
_LOCKED_SECONDS: Final = 0.25
# Longer than the retry delay in the service's errors, so that a retry does not delay other calls again.
_MARK_SECONDS: Final = 3.0
_MAX_WAITING: Final = 1_000


async def wait_for_lock(wait: Awaitable[object]) -> None:
    """Wait for other calls in memory, for as long as a write may wait for a lock.

    Raises:
        UnavailableError: the wait was too long.
    """
    call_context.current().end_turn()
    try:
        async with asyncio.timeout(LOCK_TIMEOUT_SECONDS):
            await wait
    except TimeoutError as error:
        raise transaction_conflict() from error


@dataclass(slots=True)
class _Gate:
    permits: asyncio.Semaphore
    users: int = 0
    """The number of writes that hold a permit or wait for one. At 0 the gate is removed."""
    entered: list[float] = field(default_factory=list)
    """The entry time of each write that holds a permit, by the clock of the event loop."""

    async def enter(self) -> None:
        if not self.permits.locked():
            await self.permits.acquire()  # this does not wait
            return
        if self.users > _MAX_WAITING:
            raise ResourceExhaustedError("too many writes wait for one session", reason="POOL_EXHAUSTED")
        await wait_for_lock(self.permits.acquire())


class SessionGates:
    """A limit for the writes to each session that are in the database, where they wait for its lock.

    A session is named with its caller's user and application. So the writes of a caller that has no such
    session neither wait for those of its owner, nor hinder them.

    Args:
        width: The number of writes to a session that may have a connection at a time.
    """

    def __init__(self, *, width: int) -> None:
        self._width = width
        self._gates: dict[Hashable, _Gate] = {}
        self._marked: dict[Hashable, asyncio.TimerHandle] = {}

    def seems_locked(self, session: Hashable) -> bool:
        """Return whether a session seems to be locked."""
        if session in self._marked:
            return True
        gate = self._gates.get(session)
        if gate is None:
            return False
        now = asyncio.get_running_loop().time()
        return any(now - since > _LOCKED_SECONDS for since in gate.entered)

    def mark_locked(self, sessions: Iterable[Hashable]) -> None:
        """Treat sessions as locked for some seconds, or until a write to each succeeds."""
        loop = asyncio.get_running_loop()
        for session in sessions:
            self.mark_unlocked(session)
            self._marked[session] = loop.call_later(_MARK_SECONDS, self.mark_unlocked, session)

    def mark_unlocked(self, session: Hashable) -> None:
        """Treat a session as not locked."""
        if timer := self._marked.pop(session, None):
            timer.cancel()

    async def enter(self, session: Hashable) -> float:
        """Wait until a write may enter; return the time of entry, which ``leave`` takes.

        A call in an order first waits until the calls before it have ended.

        Raises:
            UnavailableError: the write has waited for longer than a write may wait for a lock.
            ResourceExhaustedError: too many writes wait for the session already.
        """
        order = call_context.current().order
        if order is not None:
            order.leave()
            if not order.is_first:
                await wait_for_lock(order.until_first())
        gate = self._join(session)
        try:
            await gate.enter()
        except BaseException:
            self._withdraw(session)
            raise
        now = asyncio.get_running_loop().time()
        gate.entered.append(now)
        return now

    def leave(self, session: Hashable, entered: float) -> None:
        """Let another write enter."""
        gate = self._gates[session]
        gate.entered.remove(entered)
        gate.permits.release()
        self._withdraw(session)

    def _join(self, session: Hashable) -> _Gate:
        gate = self._gates.get(session)
        if gate is None:
            gate = self._gates[session] = _Gate(asyncio.Semaphore(self._width))
        gate.users += 1
        return gate

    def _withdraw(self, session: Hashable) -> None:
        gate = self._gates[session]
        gate.users -= 1
        if not gate.users:
            del self._gates[session]


class PoolShare:
    """The connections of a pool that one kind of work may use at a time. Tenants that wait take turns.

    Args:
        connections: The number of connections of the share.
        timeout_seconds: The maximum wait for a connection of the share.
    """

    def __init__(self, connections: int, timeout_seconds: float) -> None:
        self._free = connections
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._timeout_seconds = timeout_seconds

    async def take(self) -> None:
        """Wait for a connection of the share.

        Raises:
            ResourceExhaustedError: no connection of the share became free in time.
        """
        if self._free:
            self._free -= 1
            return
        call = call_context.current()
        call.end_turn()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._wait(call.subject.tenant_id)
        except TimeoutError as error:
            raise ResourceExhaustedError(
                "all connections for long work are busy", reason="POOL_EXHAUSTED"
            ) from error

    def give_back(self) -> None:
        """Return the connection to the share, for the next call that waits."""
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():  # its caller has not gone
                turn.set_result(None)
                return
        self._free += 1

    async def _wait(self, tenant_id: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.add(tenant_id, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it has got a connection meanwhile
                self.give_back()
            raise
