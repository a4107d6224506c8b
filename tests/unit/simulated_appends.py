"""Streams of appends on a simulated database: a test decides when each statement ends, and how."""
# ruff: noqa: SLF001 - only tests ask which appends and lanes remain

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.call_order import OrderedCall
from sessionhistory_server.errors import FailedPreconditionError
from sessionhistory_server.model.append import Append
from sessionhistory_server.model.message import NewMessage, SentMessage
from sessionhistory_server.model.tokens import COUNTED_BY_CHARACTERS, OtherCounterError
from sessionhistory_server.store.appends import together
from sessionhistory_server.store.appends.batch import Batch
from sessionhistory_server.store.appends.shared import SharedAppends
from sessionhistory_server.store.postgres.admission import SessionGates
from sessionhistory_server.store.session_ref import SessionRef
from support.callers import caller
from support.messages import message_content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

TURNS = 25
"""More turns of the event loop than any call needs to go on, if a batcher waits for ``QUIET_TURNS``."""

QUIET_TURNS = 2

_OUTCOMES = (str, asyncio.CancelledError, FailedPreconditionError, psycopg.OperationalError)


class Statement(NamedTuple):
    """A statement in progress; the outcome is how it is to end."""

    batches: Sequence[Batch]
    outcome: asyncio.Future[str]


class SimulatedDatabase:
    """A database that the test steers. It checks each commit."""

    is_distributed = False

    def __init__(self, connections: int) -> None:
        self.gates = SessionGates(width=2)
        self._connections = asyncio.Semaphore(connections)
        self.statements: list[Statement] = []
        self.stored: set[tuple[SessionRef, str]] = set()
        self.before: dict[OrderedCall | None, list[tuple[asyncio.Task[object], OrderedCall | None]]] = {}
        """The calls before each call in its order, and their places."""
        self.alone: list[str] = []
        """The ids of the messages of statements for one append that did not share."""
        self.sent: set[OrderedCall | None] = set()
        """The places of the calls whose messages are stored, by themselves."""
        self._counted_again: set[str] = set()

    @property
    def pending(self) -> list[Statement]:
        """The statements in progress, the oldest first."""
        return [statement for statement in self.statements if not statement.outcome.done()]

    async def run(self, work: Callable[[Any], Awaitable[Any]], *, writes: bool) -> object:
        """Do work with a connection."""
        assert writes
        async with self._connections:
            return await work(self)

    async def write(self, work: Callable[[Any], Awaitable[Any]], *, lock: Hashable) -> object:
        """Do work with a connection, behind the gate of a session; it goes on if the call is cancelled."""
        entered = await self.gates.enter(lock)
        task = asyncio.create_task(self._run(work))
        task.add_done_callback(lambda _: self.gates.leave(lock, entered))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        result = await asyncio.shield(task)
        self.gates.mark_unlocked(lock)
        return result

    async def _run(self, work: Callable[[Any], Awaitable[Any]]) -> object:
        return await self.run(work, writes=True)

    async def execute(self, batches: Sequence[Batch]) -> str:
        """Wait for the outcome of a statement, and return it."""
        statement = Statement(batches, asyncio.get_running_loop().create_future())
        self.statements.append(statement)
        outcome = await statement.outcome
        if outcome == "lost":
            raise psycopg.OperationalError
        return outcome

    def commit(self, batches: Sequence[Batch]) -> None:
        """Store batches. Each call before one of them has ended, or is stored before it."""
        for batch in batches:
            for task, order in self.before.get(batch.order, []):
                assert task.done() or order in self.sent, f"{batch.message_ids} overtakes"
            assert _identity(batch) not in self.stored
            self.stored.add(_identity(batch))
            self.sent.add(batch.order)

    async def append_in_one_statement(
        self, _connection: object, batches: Sequence[Batch]
    ) -> list[str | None]:
        """Store those batches that the statement can have together, or none."""
        places = [place for one in together._by_session(batches) for place in one.places]
        return await self._store(batches, places) if batches else []

    async def append_at_once(self, _connection: object, batch: Batch) -> str | None:
        """Store a batch, or not."""
        return (await self._store([batch], [0]))[0]

    async def _store(self, batches: Sequence[Batch], places: Sequence[int]) -> list[str | None]:
        outcomes: list[str | None] = [None] * len(batches)
        outcome = await self.execute(batches)
        if outcome == "locked":
            raise psycopg.errors.LockNotAvailable
        sent = [batches[place] for place in sorted(places)]
        if outcome == "stored" and not any(_identity(batch) in self.stored for batch in sent):
            self.commit(sent)
            for place in places:
                outcomes[place] = "stored"
        return outcomes

    async def append(self, _connection: object, batch: Batch) -> str:
        """Store a batch, or find it stored."""
        (message_id,) = batch.message_ids
        self.alone.append(message_id)
        outcome = await self.execute([batch])
        if outcome == "refused" and message_id not in self._counted_again:
            self._counted_again.add(message_id)
            raise OtherCounterError(COUNTED_BY_CHARACTERS)
        if outcome == "locked":
            raise FailedPreconditionError("no", reason="NO")
        if _identity(batch) not in self.stored:
            self.commit([batch])
        return "stored"


class Streams:
    """Streams and other callers that append to one store."""

    def __init__(self, database: SimulatedDatabase) -> None:
        self.database = database
        self.appends = SharedAppends(database, lambda *_: None, coalesce=True)  # type: ignore[arg-type]
        self.tasks: list[asyncio.Task[object]] = []
        self._counting: list[asyncio.Event] = []
        self._last: dict[tuple[str, str], OrderedCall] = {}
        self._begun: dict[tuple[str, str], list[tuple[asyncio.Task[object], OrderedCall | None]]] = {}
        self._last_id: dict[str, str] = {}

    def begin(self, stream: str, session_id: str, kind: str) -> None:
        """Begin a call: of a stream, or of another caller, which has no name."""
        order = None
        begun: list[tuple[asyncio.Task[object], OrderedCall | None]] = []
        if stream:
            group = stream, session_id
            order = self._last[group] = OrderedCall(self._last.get(group))
            begun = self._begun.setdefault(group, begun)
            self.database.before[order] = list(begun)
        message_id = f"m{len(self.tasks)}"
        if kind == "repeated":
            message_id = self._last_id.get(session_id, message_id)
        self._last_id[session_id] = message_id
        task = asyncio.create_task(self._make(_batch(order, session_id, message_id, kind), kind))
        self.tasks.append(task)
        begun.append((task, order))

    def end(self, place: int, outcome: str) -> None:
        """End one of the statements in progress, if there are any; 0 is the newest one."""
        if pending := self.database.pending:
            pending[-1 - place % len(pending)].outcome.set_result(outcome)

    def count(self) -> None:
        """Finish the count for all calls that wait for it."""
        for event in self._counting:
            event.set()

    def cancel(self, place: int) -> None:
        """Cancel a call once it has begun; 0 is the newest one."""
        if self.tasks:
            asyncio.get_running_loop().call_soon(self.tasks[-1 - place % len(self.tasks)].cancel)

    async def _make(self, batch: Batch, kind: str) -> object:
        call_context.begin(context := CallContext("", ""))
        context.order = batch.order
        try:
            if kind == "counted":
                self._counting.append(event := asyncio.Event())
                await event.wait()
            while True:
                try:
                    return await self.appends.append(batch)
                except OtherCounterError:
                    await asyncio.sleep(0)
        finally:
            if batch.order is not None:
                batch.order.end()

    async def finish(self) -> None:
        """Let all calls end, the newest statement first; check that nothing is left, and how each ended."""
        for _ in range(5 * len(self.tasks) + 5):
            if not self.database.pending:
                self.count()
                await settle()
            if not self.database.pending:
                break
            self.end(0, "stored")
            await settle()
        assert all(task.done() for task in self.tasks), "a call waits for ever"
        assert not self.appends._batcher._waiting._items
        assert not self.database.gates._gates
        for outcome in await asyncio.gather(*self.tasks, return_exceptions=True):
            assert isinstance(outcome, _OUTCOMES), outcome


def _identity(batch: Batch) -> tuple[SessionRef, str]:
    return batch.ref, batch.message_ids[0]


def _batch(order: OrderedCall | None, session_id: str, message_id: str, kind: str) -> Batch:
    content = message_content(message_id, "USER", content="some words", pinned=kind == "alone")
    return Batch(
        asked=Append(session_id, [SentMessage(content, 10)]),
        tenant_id="default",
        ref=SessionRef.of(caller(), session_id),
        messages=[NewMessage(content, 3, 10)],
        token_counter="another" if kind == "other" else COUNTED_BY_CHARACTERS,
        retention=timedelta(days=1),
        order=order,
    )


async def settle(turns: int = TURNS) -> None:
    """Let other tasks run."""
    for _ in range(turns):
        await asyncio.sleep(0)
