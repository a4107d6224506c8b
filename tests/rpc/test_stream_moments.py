"""A stream that is cancelled at each of its moments, one after the other: it has one outcome, a right one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import create, fresh_id, stored
from stream_support import COMPLETE, DROP, INTERRUPTED, KEEP, Piece, finish, header, text, tool_call

from sessionhistory_server.errors import database_unavailable
from sessionhistory_server.rpc.streams import StreamServicer
from sessionhistory_server.store.database import Database
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

TEXTS = ("Al", "l ", "that")


class Moments:
    """Counts the moments at which something can happen, and lets it happen at one of them."""

    def __init__(self, at: int, strike: Callable[[], None]) -> None:
        self._at = at
        self._strike = strike
        self.passed = 0

    async def pass_one(self) -> None:
        """Let the next moment come."""
        self.passed += 1
        if self.passed == self._at:
            self._strike()
        await asyncio.sleep(0)


class FakePieces:
    """A caller whose pieces come at moments."""

    def __init__(self, pieces: tuple[Piece, ...], moments: Moments) -> None:
        self._pieces = iter(pieces)
        self._moments = moments

    async def read(self) -> Piece | None:
        """Return the next piece."""
        await self._moments.pass_one()
        piece = next(self._pieces, None)
        await self._moments.pass_one()
        return piece

    async def accept(self) -> None:
        """Hear that the header is taken."""
        await self._moments.pass_one()

    async def within(self, work: Awaitable[Any]) -> Any:
        """Wait for work."""
        result = await work
        await self._moments.pass_one()
        return result


async def _run(service: Service, pieces: tuple[Piece, ...], at: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Cancel a stream at its moment; return how many it had."""
    moments = Moments(at, lambda: task.cancel())  # noqa: PLW0108 - made below
    write, run = Database.write, Database._run  # noqa: SLF001 - within the work, on both sides of the commit

    async def slow_write(database: Database, work: Any) -> Any:
        await moments.pass_one()
        result = await write(database, work)
        await moments.pass_one()
        return result

    async def slow_run(database: Database, checkout: Any, work: Any) -> Any:
        await moments.pass_one()
        result = await run(database, checkout, work)
        await moments.pass_one()
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", slow_write)
        patch.setattr(Database, "_run", slow_run)
        streams = service.app._append_streams  # noqa: SLF001 - a servicer beside the service's own
        servicer = StreamServicer(streams, service.app.metrics, require_user_id=False)
        fake: Any = FakePieces(pieces, moments)
        task = asyncio.create_task(servicer.AppendMessageStream(fake))
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
    """There is the whole, or an interrupted beginning, or nothing: and never less at a later moment."""
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
    """Whatever it fails at, the stream is refused as a whole, and the same stream again is stored once."""
    for at in range(1, 6):
        session_id, calls = fresh_id(), 0
        await create(shared, session_id)
        run = Database._run  # noqa: SLF001 - it is where the database's failures are translated

        async def failing(database: Database, checkout: Any, work: Any, at: int = at) -> Any:
            nonlocal calls
            calls += 1
            result = await run(database, checkout, work)  # noqa: B023 - called in this turn of the loop
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
