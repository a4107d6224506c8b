"""The pace of refusals."""

from __future__ import annotations

import asyncio

import pytest

from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.rpc.load import pace as module
from sessionhistory_server.rpc.load.arrivals import Arrivals
from sessionhistory_server.rpc.load.pace import Pace
from support.waiting import until


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few refusals come at once, and let none wait until it has waited for too long."""
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    monkeypatch.setattr(module, "_PER_SECOND", 1e-6)
    monkeypatch.setattr(module, "_LONGEST_SECONDS", 1e6)


async def test_the_first_refusals_are_answered_at_once() -> None:
    """Only a flood of refusals waits."""
    pace = Pace(Arrivals())
    for _ in range(3):
        await asyncio.wait_for(pace.keep(), 30)
    fourth = asyncio.create_task(pace.keep())
    await asyncio.sleep(0)
    assert not fourth.done()
    fourth.cancel()


async def test_refusals_wait_for_calls_that_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are answered in order, when no call is on its way. Those whose callers have gone are left out."""
    arrivals = Arrivals()
    pace = Pace(arrivals)
    for _ in range(3):
        await pace.keep()
    monkeypatch.setattr(module, "_PER_SECOND", 1e6)
    waiting = [asyncio.create_task(pace.keep()) for _ in range(5)]
    waiting[1].cancel()
    for _ in range(100):
        arrivals.note()
        await asyncio.sleep(0)
    assert not any(one.done() for one in waiting if not one.cancelled())
    await until(lambda: all(one.done() for one in waiting))


async def test_no_refusal_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is answered after a time limit, and at once if too many wait."""
    pace = Pace(Arrivals())
    for _ in range(3):
        await pace.keep()
    monkeypatch.setattr(module, "_LONGEST_SECONDS", 0.01)
    await asyncio.wait_for(pace.keep(), 30)
    monkeypatch.setattr(module, "_LONGEST_SECONDS", 1e6)
    monkeypatch.setattr(module, "_MAX_WAITING", 0)
    await asyncio.wait_for(pace.keep(), 30)


async def test_no_refusal_waits_for_longer_than_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the deadline of its call a refusal is answered: its caller does not wait any longer."""
    monkeypatch.setattr(module, "_AT_ONCE", 0)
    monkeypatch.setattr(module, "_PER_SECOND", 1e-3)
    monkeypatch.setattr(module, "_LONGEST_SECONDS", 1e6)
    pace = Pace(Arrivals())
    call = CallContext("id", "GetSession")
    call.limit(0.01)
    call_context.begin(call)
    await asyncio.wait_for(pace.keep(), 30)
