"""Store the appends of several calls in one commit.

On one machine, the appends to all sessions share a statement. If Citus has distributed the sessions, only the
appends to one session share a transaction, which runs on one machine.

A batch is stored only if its session exists and may change, and its message is new. Each other batch (a new
session, a retry, an append to refuse) goes to ``single.append`` alone. If no other append arrives at the same
time, the statement is that of ``single.append_at_once``.

A session is a lane of the batcher: its appends are sent in order. If an append of a stream is left out, those
behind it are, too. Each of them is then stored alone, when the one before has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import psycopg

from sessionhistory_server.limits import KIB
from sessionhistory_server.model.tokens import MIXED
from sessionhistory_server.store.appends import together
from sessionhistory_server.store.appends.single import append, append_at_once
from sessionhistory_server.store.postgres import errors
from sessionhistory_server.store.postgres.admission import wait_for_lock
from sessionhistory_server.store.postgres.batching import Batcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sessionhistory_server.model.message import Appended
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.store.session_ref import SessionRef

    _Batcher = Batcher[Batch, Appended | None]

_MAX_BATCH: Final = 64
_MAX_MESSAGE_BYTES: Final = 64 * KIB


class SharedAppends:
    """The appends to a database. Concurrent appends share a statement or a transaction if possible.

    Args:
        database: The database.
        note: Called for each batch that was stored, after the commit.
        coalesce: Whether concurrent appends share a statement.
    """

    def __init__(
        self, database: Database, note: Callable[[Batch, Appended], None], *, coalesce: bool
    ) -> None:
        self._database = database
        self._note = note
        self._coalesce = coalesce
        self._batcher: _Batcher = Batcher(self._append_together, max_batch=_MAX_BATCH)
        self._batchers: WeakValueDictionary[SessionRef, _Batcher] = WeakValueDictionary()
        """By distributed session, while calls append to it."""

    async def append(self, batch: Batch) -> Appended:
        """Store a batch, as ``single.append`` does; if it has an order, after the batches before it."""
        lock = batch.ref
        if self._coalesce and _is_sharable(batch) and await self._joins(batch):
            appended = await self._batcher_of(lock).ask(batch, lane=lock)
            if appended is not None:
                return appended
        return await self._database.write(lambda connection: self._append_alone(connection, batch), lock=lock)

    async def _joins(self, batch: Batch) -> bool:
        """Return whether a batch may be sent with others, once those before it in its order are sent."""
        order = batch.order
        if order is not None and not order.may_share:
            await wait_for_lock(order.until_sharable())
        joins = self._may_share(batch)
        if joins and order is not None:
            order.share()
        return joins

    def _may_share(self, batch: Batch) -> bool:
        return batch.is_in_order and not self._database.gates.seems_locked(batch.ref)

    async def _append_alone(self, connection: Connection, batch: Batch) -> Appended:
        appended = await append(connection, batch)
        self._note(batch, appended)
        return appended

    def _batcher_of(self, session: SessionRef) -> _Batcher:
        if not self._database.is_distributed:
            return self._batcher
        batcher = self._batchers.get(session)
        if batcher is None:
            batcher = Batcher(self._append_together, max_batch=_MAX_BATCH, max_senders=1)
            self._batchers[session] = batcher
        return batcher

    async def _append_together(self, take: Callable[[], list[Batch]]) -> Sequence[Appended | None]:
        """Store the batches of concurrent calls; ``take`` returns them."""
        return await self._database.run(lambda c: self._append_noted(c, take()), writes=True)

    async def _append_noted(
        self, connection: Connection, batches: Sequence[Batch]
    ) -> Sequence[Appended | None]:
        """Store the batches that may still share a statement, and note those that were stored."""
        sent = {}
        for index, batch in enumerate(batches):
            if self._may_share(batch):
                sent[index] = batch
            else:
                batch.leave_out()
        outcomes: list[Appended | None] = [None] * len(batches)
        appends = await self._append(connection, list(sent.values()))
        for (index, batch), appended in zip(sent.items(), appends, strict=True):
            if appended is None:
                batch.leave_out()
            else:
                self._note(batch, appended)
                outcomes[index] = appended
        return outcomes

    async def _append(self, connection: Connection, batches: Sequence[Batch]) -> Sequence[Appended | None]:
        """Store batches in one commit; return ``None`` for each batch that was not stored."""
        try:
            if connection.is_distributed:
                return await together.append_to_one_session(connection, batches)
            if len(batches) == 1:
                return [await append_at_once(connection, batches[0])]
            return await together.append_in_one_statement(connection, batches)
        except psycopg.Error as error:
            if errors.is_unavailable(error, is_distributed=connection.is_distributed):
                raise
            if isinstance(error, psycopg.errors.LockNotAvailable):
                self._database.gates.mark_locked({batch.ref for batch in batches})
                if connection.is_distributed:
                    raise  # the wait for the lock was that of a call, not a short one
            # Each batch is then stored alone, so that only the invalid one fails.
            return [None] * len(batches)


def _is_sharable(batch: Batch) -> bool:
    if len(batch.messages) > 1 or batch.token_counter == MIXED:
        return False
    if batch.asked.expected_last_sequence is not None or batch.refusal:
        return False
    (message,) = batch.messages
    return not message.content.pinned and message.size_bytes <= _MAX_MESSAGE_BYTES
