"""Calls that share statements: which calls share one, and how each of them ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.errors import ResourceExhaustedError
from sessionhistory_server.store.postgres import batching
from sessionhistory_server.store.postgres.batching import Batcher
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sure that no statement counts as slow, however long the test takes."""
    monkeypatch.setattr(batching, "_SLOW_SECONDS", 600)


class Statements:
    """Answers each batch with its items doubled, as soon as the test opens the batch's gate."""

    def __init__(self, *, max_batch: int = 64, cancellable: bool = False, eager: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.cancelled = 0
        self.error: Exception | None = None
        self.connection = asyncio.Event()
        self.connection.set()
        self.coalescer = Batcher(self._run, max_batch=max_batch, cancellable=cancellable, eager=eager)

    def ask(self, *items: int) -> list[asyncio.Task[int]]:
        """Ask for each item in a task of its own."""
        return [asyncio.create_task(self.coalescer.ask(item)) for item in items]

    async def sent(self, count: int) -> None:
        """Wait until this many statements were sent."""
        await until(lambda: len(self.batches) == count)

    async def _run(self, take: Callable[[], list[int]]) -> list[int]:
        await self.connection.wait()
        items = take()
        gate = asyncio.Event()
        self.batches.append(items)
        self.gates.append(gate)
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        return [2 * item for item in items]


@pytest.mark.usefixtures("patient")
async def test_who_is_first_goes_and_the_rest_shares() -> None:
    """The first call is sent alone at once. Calls that arrive while a statement runs share the next one."""
    statements = Statements()
    (first,) = statements.ask(1)
    await statements.sent(1)
    others = statements.ask(2, 3, 4)
    await asyncio.sleep(0)
    assert statements.batches == [[1]]
    statements.gates[0].set()
    await statements.sent(2)
    statements.gates[1].set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert statements.batches == [[1], [2, 3, 4]]


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.usefixtures("patient")
async def test_who_is_on_the_way_may_share_the_first(*, eager: bool) -> None:
    """Without ``eager`` the first call waits a few turns of the event loop, so that others join it."""
    statements = Statements(eager=eager)
    asked = statements.ask(1)
    for item in (2, 3):
        for _ in range(5):  # turns of the event loop, fewer than the first call waits
            await asyncio.sleep(0)
        asked += statements.ask(item)
    await statements.sent(1)
    assert statements.batches == ([[1]] if eager else [[1, 2, 3]])
    statements.gates[0].set()
    if eager:
        await statements.sent(2)
        statements.gates[1].set()
    assert await asyncio.gather(*asked) == [2, 4, 6]


@pytest.mark.usefixtures("patient")
async def test_a_full_batch_does_not_wait() -> None:
    """Calls beyond a full batch are sent at once in another statement; no batch exceeds the limit."""
    statements = Statements(max_batch=2)
    asked = statements.ask(1)
    await statements.sent(1)
    asked += statements.ask(2, 3, 4)
    await statements.sent(3)
    for gate in statements.gates:
        gate.set()
    assert await asyncio.gather(*asked) == [2, 4, 6, 8]
    assert statements.batches == [[1], [2, 3], [4]]


async def test_a_slow_statement_is_not_waited_for() -> None:
    """A call behind a slow statement gets a statement of its own, up to four; the fifth call waits."""
    statements = Statements()
    asked = []
    for item in range(1, 5):
        asked += statements.ask(item)
        await statements.sent(item)
    asked += statements.ask(5)
    await until(lambda: len(statements.coalescer._slow) == 4)  # noqa: SLF001 - however long it takes
    assert statements.batches == [[1], [2], [3], [4]]
    statements.gates[2].set()
    await statements.sent(5)
    for gate in statements.gates:
        gate.set()
    assert await asyncio.gather(*asked) == [2, 4, 6, 8, 10]


@pytest.mark.usefixtures("patient")
async def test_who_has_gone_is_left_out() -> None:
    """A caller that is cancelled before its statement is sent is left out of the batch."""
    statements = Statements()
    asked = statements.ask(1)
    await statements.sent(1)
    gone, *stay = statements.ask(2, 3)
    await asyncio.sleep(0)
    gone.cancel()
    statements.gates[0].set()
    await statements.sent(2)
    statements.gates[1].set()
    assert await asyncio.gather(*asked, *stay) == [2, 6]
    assert statements.batches == [[1], [3]]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("cancellable", "cancelled"), [(True, 1), (False, 0)])
async def test_a_statement_ends_with_the_last_who_waits(*, cancellable: bool, cancelled: int) -> None:
    """A read whose callers are all cancelled is cancelled; a write runs to its end.

    While one caller still waits, both go on.
    """
    statements = Statements(cancellable=cancellable)
    await asyncio.gather(statements.coalescer.ask(0), _let_go(statements, 1))
    asked = statements.ask(1)
    await statements.sent(2)
    asked += statements.ask(2, 3)
    await asyncio.sleep(0)
    statements.gates[1].set()
    await statements.sent(3)
    first, last = asked[1:]
    first.cancel()
    await asyncio.wait((first,))
    assert statements.cancelled == 0
    last.cancel()
    await asyncio.wait((last,))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert statements.cancelled == cancelled
    statements.gates[2].set()
    (after,) = statements.ask(4)
    await statements.sent(4)
    statements.gates[3].set()
    assert await after == 8


@pytest.mark.usefixtures("patient")
async def test_all_in_a_batch_fail_alike() -> None:
    """A failed statement fails every call of its batch, and no later call."""
    statements = Statements()
    asked = statements.ask(1)
    await statements.sent(1)
    asked += statements.ask(2, 3)
    await asyncio.sleep(0)
    statements.gates[0].set()
    await statements.sent(2)
    statements.error = OSError("lost")
    statements.gates[1].set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [outcome if isinstance(outcome, int) else str(outcome) for outcome in outcomes] == [
        2,
        "lost",
        "lost",
    ]
    statements.error = None
    (after,) = statements.ask(4)
    await statements.sent(3)
    statements.gates[2].set()
    assert await after == 8


@pytest.mark.usefixtures("patient")
async def test_who_goes_while_there_is_no_connection_is_left_out() -> None:
    """A batch is put together when a connection is free, without the callers that were cancelled before."""
    statements = Statements()
    statements.connection.clear()
    gone, *stay = statements.ask(1, 2, 3)
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait((gone,))
    statements.connection.set()
    await statements.sent(1)
    statements.gates[0].set()
    assert await asyncio.gather(*stay) == [4, 6]
    assert statements.batches[0] == [2, 3]


async def test_without_a_connection_all_who_wait_are_told() -> None:
    """A failure to get a connection fails every waiting call."""

    async def refuse(_take: Callable[[], list[int]]) -> list[int]:
        raise OSError("no connection")

    asked = map(Batcher(refuse, max_batch=2).ask, range(5))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no connection"] * 5


async def _let_go(statements: Statements, count: int) -> None:
    await statements.sent(count)
    statements.gates[count - 1].set()


@pytest.mark.usefixtures("patient")
async def test_no_more_wait_than_can_be_answered_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call beyond the limit of waiting calls is refused at once; the other calls are answered."""
    monkeypatch.setattr(batching, "_MAX_WAITING", 2)
    statements = Statements()
    statements.connection.clear()
    asked = statements.ask(1, 2)
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhaustedError, match="too many calls wait"):
        await statements.coalescer.ask(3)
    statements.connection.set()
    await statements.sent(1)
    statements.gates[0].set()
    assert await asyncio.gather(*asked) == [2, 4]
