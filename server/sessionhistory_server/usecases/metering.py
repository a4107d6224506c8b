"""Count the sessions and bytes of tenants and users beside the calls, and keep them within limits.

A worker adds up the changes that its calls make, and writes them every second. It knows the counts of the
tenants and users that it has served lately, and reads them again every second while it serves them. So the
changes of other workers arrive some seconds late. Its own are known at once: a call
reserves the room for its change.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.store import usage
from sessionhistory_server.store.postgres.batching import Batcher
from sessionhistory_server.store.room import UNLIMITED, Room
from sessionhistory_server.store.usage import NOTHING, Owner, Usage
from sessionhistory_server.usecases.accounts import Accounts
from sessionhistory_server.usecases.call_room import CallRoom, are_counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.message import Appended
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database, Work
    from sessionhistory_server.store.session_ref import SessionRef
    from sessionhistory_server.usecases.tenant_limits import HeldLimits

T = TypeVar("T")

WRITE_SECONDS: Final = 1.0
WRITE_SECONDS_DISTRIBUTED: Final = 5.0
"""On Citus every node has the counts, so that each change of them is a commit on all nodes."""
_READ_SECONDS: Final = 2.0
"""For how long a call waits for the counts that the worker does not know."""


class _Open:
    """A context with room without limits."""

    async def __aenter__(self) -> Room:
        return UNLIMITED

    async def __aexit__(self, *_: object) -> None:
        pass


_OPEN: Final = _Open()


class Metering:
    """Counts the sessions and bytes of tenants and users, and gives calls the room that limits leave.

    Args:
        database: The database of the sessions and of the counts.
        limits: The limits of tenants; ``None``: nothing is counted, and all calls have room.
    """

    def __init__(self, database: Database, limits: HeldLimits | None) -> None:
        self._database = database
        self._limits = limits
        self._accounts = Accounts()
        self._counting = asyncio.Lock()
        """Held while counts are written or read: a count that is read includes all written changes."""
        self._writing: asyncio.Task[None] | None = None
        self._reader: Batcher[str | Owner, None] = Batcher(self._read_waiting, max_batch=usage.MAX_AT_ONCE)

    def room(
        self, caller: Caller, *, user_id: str | None = None, is_accepted: bool = False
    ) -> AbstractAsyncContextManager[Room]:
        """Return a context that yields the room for a call, which may reserve some of it until the end.

        Args:
            caller: The caller.
            user_id: The user of the session that the call creates, if the caller names no user.
            is_accepted: Whether the server has accepted the new messages and the session before.
        """
        if self._limits is None:
            return _OPEN
        limits = self._limits.of(caller.tenant_id)
        keys = _keys(caller.tenant_id, caller.user_id or user_id) if are_counted(limits) else []
        accounts = self._accounts.see(keys)
        return CallRoom(limits, accounts, partial(self._read_soon, keys), is_accepted=is_accepted)

    def note(self, tenant_id: str, user_id: str | None, *, sessions: int = 0, size_bytes: int = 0) -> None:
        """Note a change that is committed."""
        if self._limits is not None and (sessions or size_bytes):
            self._accounts.note(Owner.of(tenant_id, user_id), Usage(sessions, size_bytes))

    def note_append(self, batch: Batch, appended: Appended) -> None:
        """Note an append that is committed."""
        if self._limits is not None and not appended.stored_before:
            sessions = int(appended.session_created)
            self.note(batch.tenant_id, appended.user_id, sessions=sessions, size_bytes=batch.size_bytes)

    def noted(self, batch: Batch, work: Work[Appended]) -> Work[Appended]:
        """Return the work that appends a batch, and notes that."""

        async def run(connection: Connection) -> Appended:
            appended = await work(connection)
            self.note_append(batch, appended)
            return appended

        return run

    def measured(self, tenant_id: str, ref: SessionRef, work: Work[T]) -> Work[T]:
        """Return the work on a session in a transaction that also measures the change of its bytes."""
        if self._limits is None:
            return work

        async def run(connection: Connection) -> T:
            async with connection.transaction():
                before = await usage.measure(connection, ref, lock=True)
                result = await work(connection)
                after = await usage.measure(connection, ref)
            if found := after or before:
                change = _usage_of(after).minus(_usage_of(before))
                self.note(tenant_id, found.user_id, sessions=change.sessions, size_bytes=change.bytes)
            return result

        return run

    async def run(self) -> None:
        """Write the changes, and read the counts in use again, until cancelled."""
        while True:
            distributed = self._database.is_distributed
            await asyncio.sleep(WRITE_SECONDS_DISTRIBUTED if distributed else WRITE_SECONDS)
            with suppress(SessionHistoryError):
                await self.write()
            with suppress(SessionHistoryError):
                await self.refresh()

    async def write(self) -> None:
        """Add the changes since the last time to the counts in the database.

        Raises:
            SessionHistoryError: the database cannot be written. The changes are kept for the next time.
        """
        if self._writing is not None:
            await asyncio.wait((self._writing,))  # a caller that was cancelled may have begun it
        self._writing = asyncio.create_task(self._write())
        await asyncio.shield(self._writing)

    async def _write(self) -> None:
        async with self._counting:
            owners = self._accounts.take_changed()
            try:
                while owners:
                    some = owners[: usage.MAX_AT_ONCE]
                    changes = {owner: self._accounts.of(owner).unwritten for owner in some}
                    await self._database.write(partial(usage.add, changes=changes))
                    self._accounts.note_written(changes)
                    owners = owners[usage.MAX_AT_ONCE :]
            finally:
                self._accounts.changed.update(owners)

    async def refresh(self) -> None:
        """Read the counts again that calls have asked for, and forget those that none needs."""
        seen = iter(self._accounts.take_seen())
        while keys := list(islice(seen, usage.MAX_AT_ONCE)):
            await self._read(keys)
        self._accounts.forget_idle()

    async def _read_soon(self, keys: Iterable[str | Owner]) -> None:
        """Read counts that a call needs. If they cannot be read soon, the call goes on without them."""
        with suppress(SessionHistoryError, TimeoutError):
            async with asyncio.timeout(_READ_SECONDS):
                await asyncio.gather(*map(self._reader.ask, keys))

    async def _read_waiting(self, take: Callable[[], list[str | Owner]]) -> Sequence[None]:
        keys = take()
        await self._read(keys)
        return [None] * len(keys)

    async def _read(self, keys: Sequence[str | Owner]) -> None:
        async with self._counting:
            found = await self._database.read(partial(usage.read, keys=keys))
            for key, count in found.items():
                self._accounts.of(key).know(count)


def _keys(tenant_id: str, user_id: str | None) -> list[str | Owner]:
    return [tenant_id, Owner(tenant_id, user_id)] if user_id else [tenant_id]


def _usage_of(measured: usage.Measured | None) -> Usage:
    return Usage(1, measured.bytes) if measured else NOTHING
