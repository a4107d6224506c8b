"""A stream that is cancelled at any moment has one outcome, which is a right one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import create, fresh_id, stored
from stream_support import COMPLETE, DROP, INTERRUPTED, KEEP, Piece, finish, header, text, tool_call

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.errors import database_unavailable
from sessionhistory_server.rpc.services.streams import StreamsServicer
from sessionhistory_server.rpc.validation.checks import Checks
from sessionhistory_server.rpc.validation.message import check_append_stream
from sessionhistory_server.store.postgres.database import Database
from support.callers import caller
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

_METHOD = "AppendMessageStream"
TEXTS = ("Al", "l ", "that")


class Moments:
    """Counts the moments at which a stream can be interrupted, and interrupts it at one of them."""

    def __init__(self, at: int, strike: Callable[[], None]) -> None:
        self._at = at
        self._strike = strike
        self.passed = 0

    async def pass_one(self) -> None:
        """Pass the next moment."""
        self.passed += 1
        if self.passed == self._at:
            self._strike()
        await asyncio.sleep(0)


class FakeReader:
    """A stream of pieces, each read of which is a moment."""

    def __init__(self, pieces: tuple[Piece, ...], moments: Moments) -> None:
        self.first: Piece | None = None
        self._pieces = iter(pieces)
        self._moments = moments

    async def begin(self) -> None:
        """Read the first piece."""
        self.first = await self.read()

    async def read(self) -> Piece | None:
        """Return the next piece."""
        await self._moments.pass_one()
        piece = next(self._pieces, None)
        await self._moments.pass_one()
        return piece

    async def accept(self) -> None:
        """Note that the header is accepted."""
        await self._moments.pass_one()

    async def within(self, work: Awaitable[Any]) -> Any:
        """Wait for work."""
        result = await work
        await self._moments.pass_one()
        return result


async def _append(servicer: StreamsServicer, reader: Any, response: Any) -> None:
    """Call the method as the server does: with the first piece read, and checked."""
    call_context.begin(CallContext("moments", _METHOD))
    await reader.begin()
    check_append_stream(Checks(), reader.first)
    await servicer.AppendMessageStream(caller(), reader, response)


def _is_the_call() -> bool:
    """Return whether the test's call runs now, and not the service's work in the background."""
    return call_context.current().method == _METHOD


async def _run(service: Service, pieces: tuple[Piece, ...], at: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Cancel a stream at a moment; return how many moments it had."""
    moments = Moments(at, lambda: task.cancel())  # noqa: PLW0108 - made below
    write, run = Database.write, Database._run  # noqa: SLF001 - within the work, on both sides of the commit

    async def slow_write(database: Database, work: Any, **how: Any) -> Any:
        if not _is_the_call():
            return await write(database, work, **how)
        await moments.pass_one()
        result = await write(database, work, **how)
        await moments.pass_one()
        return result

    async def slow_run(database: Database, checkout: Any, work: Any, **how: Any) -> Any:
        if not _is_the_call():
            return await run(database, checkout, work, **how)
        await moments.pass_one()
        result = await run(database, checkout, work, **how)
        await moments.pass_one()
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", slow_write)
        patch.setattr(Database, "_run", slow_run)
        streams = service.app._use_cases.streams  # noqa: SLF001 - a servicer beside the service's own
        servicer = StreamsServicer(streams, service.app.metrics)
        fake: Any = FakeReader(pieces, moments)
        response = stream_pb.AppendMessageStreamResponse()
        task = asyncio.create_task(_append(servicer, fake, response))
        await asyncio.wait([task])
        await until(lambda: not service.stores_streams)
        if not task.cancelled():
            task.exception()
    return moments.passed


@pytest.mark.parametrize("ending", ["finish", "no finish", "bad piece"])
@pytest.mark.parametrize("on_break", [KEEP, DROP])
async def test_a_cancellation_at_every_moment(
    shared: Service, monkeypatch: pytest.MonkeyPatch, on_break: int, ending: str
) -> None:
    """A cancelled stream stores the whole message, an interrupted beginning or nothing.

    A later cancellation never stores less than an earlier one.
    """
    end = {"finish": (finish(),), "no finish": (), "bad piece": (text("\0"),)}[ending]
    outcomes: list[tuple[int, str]] = []
    at, passed = 0, 0
    while at <= passed:
        at += 1
        session_id = fresh_id()
        await create(shared, session_id)
        pieces = (header(session_id, on_break=on_break), *map(text, TEXTS), tool_call(0, name="f"), *end)
        passed = await _run(shared, pieces, at, monkeypatch)
        found = await stored(shared, session_id)
        assert len(found) <= 1
        message = found[0] if found else None
        outcomes.append((message.status, message.content) if message else (0, ""))
    assert len(outcomes) > 15
    beginnings = ["".join(TEXTS[:count]) for count in range(len(TEXTS) + 1)]
    kept = [(INTERRUPTED, beginning) for beginning in beginnings[1:]]
    whole = [(COMPLETE, beginnings[-1])]
    possible = {KEEP: {(0, ""), *kept}, DROP: {(0, "")}}[on_break]
    assert set(outcomes) <= possible | set(whole if ending == "finish" else [])
    if on_break == KEEP:
        assert set(kept) <= set(outcomes)
    if ending == "finish":
        assert outcomes[-1] == whole[0]
    order = [(0, ""), *kept, *whole]
    assert outcomes == sorted(outcomes, key=order.index)


@pytest.mark.parametrize("on_break", [KEEP, DROP])
async def test_a_database_that_fails_at_every_statement(
    shared: Service, monkeypatch: pytest.MonkeyPatch, on_break: int
) -> None:
    """If any statement fails, the stream is refused as a whole, and its retry is stored once."""
    for at in range(1, 6):
        session_id, calls = fresh_id(), 0
        await create(shared, session_id)
        run = Database._run  # noqa: SLF001 - it translates the database's failures

        async def failing(database: Database, checkout: Any, work: Any, at: int = at, **how: Any) -> Any:
            nonlocal calls
            calls += 1
            result = await run(database, checkout, work, **how)  # noqa: B023 - called in this turn of the loop
            if calls == at:
                raise database_unavailable()  # as if the connection were lost before or after the commit
            return result

        pieces = (header(session_id, on_break=on_break), text("a"), finish())
        with monkeypatch.context() as patch:
            patch.setattr(Database, "_run", failing)
            call = shared.stub.AppendMessageStream(iter(pieces))
            failed = (await call.code()).name != "OK"
            assert failed == (at <= calls)
        answer = await shared.stub.AppendMessageStream(iter(pieces))
        assert (answer.message.sequence, answer.message.status) == (1, COMPLETE)
        assert len(await stored(shared, session_id)) == 1
