"""Waiting in memory for a locked session, and for a share of the pool."""

from __future__ import annotations

import asyncio

import pytest

from sessionhistory_server.errors import ResourceExhaustedError, UnavailableError
from sessionhistory_server.store.postgres import admission
from sessionhistory_server.store.postgres.admission import PoolShare, SessionGates
from support.waiting import until


def _is_forgotten(gates: SessionGates) -> bool:
    return not gates._gates  # noqa: SLF001 - only tests count them


async def test_a_gate_lets_in_as_many_as_it_is_wide() -> None:
    """A third write to a session waits until one of two has left; other sessions do not wait."""
    gates = SessionGates(width=2)
    inside = [await gates.enter("s"), await gates.enter("s")]
    third = asyncio.create_task(gates.enter("s"))
    other = await gates.enter("other")
    assert not third.done()
    gates.leave("s", inside[0])
    entered = await third
    gates.leave("s", entered)
    gates.leave("s", inside[1])
    gates.leave("other", other)
    assert _is_forgotten(gates)


async def test_a_write_whose_caller_goes_leaves_the_queue() -> None:
    """A write whose caller is cancelled leaves the queue, and later writes enter."""
    gates = SessionGates(width=1)
    inside = await gates.enter("s")
    gone = asyncio.create_task(gates.enter("s"))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    gates.leave("s", inside)
    gates.leave("s", await gates.enter("s"))
    assert _is_forgotten(gates)


async def test_waiting_in_memory_ends_as_waiting_for_a_lock_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that waits for its gate for as long as a lock may take fails in the same way."""
    monkeypatch.setattr(admission, "LOCK_TIMEOUT_SECONDS", 0.01)
    gates = SessionGates(width=1)
    inside = await gates.enter("s")
    with pytest.raises(UnavailableError) as caught:
        await gates.enter("s")
    assert caught.value.reason == "TRANSACTION_CONFLICT"
    gates.leave("s", inside)
    assert _is_forgotten(gates)


async def test_a_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes above the number that may wait for one session are refused at once."""
    monkeypatch.setattr(admission, "_MAX_WAITING", 1)
    gates = SessionGates(width=1)
    inside = await gates.enter("s")
    with pytest.raises(ResourceExhaustedError):
        await gates.enter("s")
    gates.leave("s", inside)
    assert _is_forgotten(gates)


async def test_a_session_seems_locked_while_a_write_takes_long_or_it_is_suspected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only writes that stay in the database for long mark a session as held up; a busy session is not."""
    gates = SessionGates(width=1)
    inside = await gates.enter("s")
    assert not gates.seems_locked("s")
    monkeypatch.setattr(admission, "_LOCKED_SECONDS", -1)
    assert gates.seems_locked("s")
    gates.leave("s", inside)
    assert not gates.seems_locked("s")
    monkeypatch.setattr(admission, "_MARK_SECONDS", 0)
    gates.mark_locked(["s"])
    assert gates.seems_locked("s")
    await until(lambda: _is_forgotten(gates))


async def test_a_share_is_waited_for_no_longer_than_a_connection() -> None:
    """Work that gets no connection of its share in time is refused with POOL_EXHAUSTED."""
    share = PoolShare(1, timeout_seconds=0.01)
    await share.take()
    with pytest.raises(ResourceExhaustedError) as caught:
        await share.take()
    assert caught.value.reason == "POOL_EXHAUSTED"
    share.give_back()
    await share.take()
