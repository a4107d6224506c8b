"""Whatever its neighbours do, an append of a stream is stored after those before it.

The database is simulated: a test decides when each statement ends, and how.
"""
# ruff: noqa: SLF001 - only tests count what is left

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.call_order import OrderedCall
from sessionhistory_server.errors import FailedPreconditionError
from sessionhistory_server.model.append import Append
from sessionhistory_server.model.message import NewMessage, SentMessage
from sessionhistory_server.model.tokens import COUNTED_BY_CHARACTERS, OtherCounterError
from sessionhistory_server.store.appends import shared, together
from sessionhistory_server.store.appends.batch import Batch
from sessionhistory_server.store.appends.shared import SharedAppends
from sessionhistory_server.store.postgres import admission, batching
from sessionhistory_server.store.postgres.admission import SessionGates
from sessionhistory_server.store.session_ref import SessionRef
from support.callers import caller
from support.messages import message_content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

_TURNS = 40
"""More turns of the event loop than a batcher waits for further calls."""

_BEGIN = st.tuples(
    st.just("begin"),
    st.sampled_from(["p", "p", "p", "q", ""]),
    st.sampled_from("ssst"),
    st.sampled_from(["plain", "plain", "plain", "alone", "counted", "repeated"]),
)
_END = st.tuples(
    st.just("end"), st.integers(0, 3), st.sampled_from(["stored", "stored", "refused", "locked", "lost"])
)
_STEPS = st.lists(
    st.one_of(
        _BEGIN,
        _BEGIN,
        _END,
        _END,
        st.tuples(st.just("count"), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
    ),
    min_size=10,
    max_size=40,
)
"""``end`` and ``count`` name a statement, or a call that is being counted, among those in progress."""


class _Statement(NamedTuple):
    """A statement in progress; the outcome is how it is to end."""

    batches: Sequence[Batch]
    outcome: asyncio.Future[str]


class _Database:
    """A database that the test steers. It checks each commit."""

    is_distributed = False

    def __init__(self) -> None:
        self.gates = SessionGates(width=2)
        self._connections = asyncio.Semaphore(2)
        self.statements: list[_Statement] = []
        self.stored: list[str] = []
        self.before: dict[OrderedCall | None, list[tuple[asyncio.Task[object], OrderedCall | None]]] = {}
        """The calls before each call in its order, and their places."""
        self.sent: set[OrderedCall | None] = set()
        """The places of the calls whose messages are stored, by themselves."""
        self.counted_again: set[str] = set()

    async def run(self, work: Callable[[Any], Awaitable[Any]], *, writes: bool) -> object:
        assert writes
        async with self._connections:
            return await work(self)

    async def write(self, work: Callable[[Any], Awaitable[Any]], *, lock: Hashable) -> object:
        entered = await self.gates.enter(lock)
        task = asyncio.create_task(self._run(work))
        task.add_done_callback(lambda _: self.gates.leave(lock, entered))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        result = await asyncio.shield(task)
        self.gates.mark_unlocked(lock)
        return result

    async def _run(self, work: Callable[[Any], Awaitable[Any]]) -> object:
        return await work(self)

    async def execute(self, batches: Sequence[Batch]) -> str:
        """Wait for the outcome of a statement, and return it."""
        statement = _Statement(batches, asyncio.get_running_loop().create_future())
        self.statements.append(statement)
        outcome = await statement.outcome
        if outcome == "lost":
            raise psycopg.OperationalError
        return outcome

    def commit(self, batches: Sequence[Batch]) -> None:
        """Store batches. Each call before one of them has ended, or is stored before it."""
        for batch in batches:
            (message_id,) = batch.message_ids
            for task, order in self.before.get(batch.order, []):
                assert task.done() or order in self.sent, f"{message_id} overtakes"
            assert message_id not in self.stored
            self.stored.append(message_id)
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
        if outcome == "stored" and not any(batch.message_ids[0] in self.stored for batch in sent):
            self.commit(sent)
            for place in places:
                outcomes[place] = "stored"
        return outcomes

    async def append(self, _connection: object, batch: Batch) -> str:
        """Store a batch, or find it stored."""
        outcome = await self.execute([batch])
        (message_id,) = batch.message_ids
        if outcome == "refused" and message_id not in self.counted_again:
            self.counted_again.add(message_id)
            raise OtherCounterError(COUNTED_BY_CHARACTERS)
        if outcome == "locked":
            raise FailedPreconditionError("no", reason="NO")
        if message_id not in self.stored:
            self.commit([batch])
        return "stored"


class _Streams:
    """Streams and other callers that append to one store."""

    def __init__(self, database: _Database) -> None:
        self.database = database
        self.appends = SharedAppends(database, lambda *_: None, coalesce=True)  # type: ignore[arg-type]
        self.tasks: list[asyncio.Task[object]] = []
        self.counting: list[asyncio.Event] = []
        self._last: dict[tuple[str, str], OrderedCall] = {}
        self._begun: dict[tuple[str, str], list[tuple[asyncio.Task[object], str]]] = {}

    def begin(self, stream: str, session_id: str, kind: str) -> None:
        """Begin a call: of a stream, or of another caller without a name."""
        group = stream, session_id
        order = None
        begun: list[tuple[asyncio.Task[object], OrderedCall | None]] = []
        if stream:
            order = self._last[group] = OrderedCall(self._last.get(group))
            begun = self._begun.setdefault(group, begun)
            self.database.before[order] = list(begun)
        message_id = f"m{len(self.tasks)}"
        if kind == "repeated" and self.tasks:
            message_id = f"m{len(self.tasks) - 1}"
        task = asyncio.create_task(self._make(order, session_id, kind, message_id))
        self.tasks.append(task)
        begun.append((task, order))

    async def _make(self, order: OrderedCall | None, session_id: str, kind: str, message_id: str) -> object:
        call_context.begin(context := CallContext("", ""))
        context.order = order
        try:
            if kind == "counted":
                self.counting.append(event := asyncio.Event())
                await event.wait()
            batch = _batch(order, session_id, message_id, pinned=kind == "alone")
            while True:
                try:
                    return await self.appends.append(batch)
                except OtherCounterError:
                    await asyncio.sleep(0)
        finally:
            if order is not None:
                order.end()

    async def finish(self) -> None:
        """Let all calls end, and check that nothing is left."""
        for _ in range(10 * len(self.tasks) + 10):
            pending = [each for each in self.database.statements if not each.outcome.done()]
            if not pending and all(task.done() for task in self.tasks):
                break
            for event in self.counting:
                event.set()
            for statement in pending:
                statement.outcome.set_result("stored")
            await _settle()
        assert all(task.done() for task in self.tasks)
        assert not self.appends._batcher._waiting._items
        assert not self.database.gates._gates


def _batch(order: OrderedCall | None, session_id: str, message_id: str, *, pinned: bool) -> Batch:
    content = message_content(message_id, "USER", content="some words", pinned=pinned)
    return Batch(
        asked=Append(session_id, [SentMessage(content, 10)]),
        tenant_id="default",
        ref=SessionRef.of(caller(), session_id),
        messages=[NewMessage(content, 3, 10)],
        token_counter=COUNTED_BY_CHARACTERS,
        retention=timedelta(days=1),
        order=order,
    )


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Callable[[], _Database]:
    """Simulates databases. Each statement counts as slow at once, and locks only by its outcome."""
    monkeypatch.setattr(batching, "_SLOW_SECONDS", 0)
    monkeypatch.setattr(admission, "_LOCKED_SECONDS", 600)

    def make() -> _Database:
        found = _Database()
        statements = SimpleNamespace(append_in_one_statement=found.append_in_one_statement)
        monkeypatch.setattr(shared, "together", statements)
        monkeypatch.setattr(shared, "append_at_once", found.append_at_once)
        monkeypatch.setattr(shared, "append", found.append)
        return found

    return make


@given(steps=_STEPS)
@settings(
    derandomize=True,
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_append_overtakes(database: Callable[[], _Database], steps: list[tuple[Any, ...]]) -> None:
    """An append is stored when each one before it has ended, or is stored; and every call ends."""
    asyncio.run(_play(database(), steps))


async def _play(database: _Database, steps: list[tuple[Any, ...]]) -> None:
    streams = _Streams(database)
    for step, *values in steps:
        if step == "begin":
            streams.begin(*values)
        elif step == "end" and (pending := [s for s in database.statements if not s.outcome.done()]):
            pending[values[0] % len(pending)].outcome.set_result(values[1])
        elif step == "count" and (counting := [event for event in streams.counting if not event.is_set()]):
            counting[values[0] % len(counting)].set()
        elif step == "cancel" and streams.tasks:
            streams.tasks[values[0] % len(streams.tasks)].cancel()
        await _settle()
    await streams.finish()
    outcomes = await asyncio.gather(*streams.tasks, return_exceptions=True)
    assert not [outcome for outcome in outcomes if isinstance(outcome, AssertionError)]
