"""The shares of the pool for long work: tenants that wait take turns."""

from __future__ import annotations

import asyncio

import pytest

from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext, Subject
from sessionhistory_server.errors import ResourceExhaustedError
from sessionhistory_server.store.postgres.admission import PoolShare
from support.waiting import until


def _take(share: PoolShare, tenant: str, order: list[str]) -> asyncio.Task[None]:
    async def take() -> None:
        call = CallContext("id", "ListSessions")
        call.subject = Subject(tenant)
        call_context.begin(call)
        await share.take()
        order.append(tenant)

    return asyncio.create_task(take())


async def test_tenants_take_turns() -> None:
    """A list of one tenant waits for one list of another tenant, not for all of them."""
    share, order = PoolShare(1, 30), list[str]()
    tasks = [_take(share, tenant, order) for tenant in "aaaaabbc"]
    for done in range(1, 9):
        await until(lambda done=done: len(order) == done)
        share.give_back()
    await asyncio.gather(*tasks)
    assert "".join(order) == "aabcabaa"


async def test_a_connection_returns_whoever_has_gone() -> None:
    """Calls that are cancelled in the queue, or when they get a connection, keep none."""
    share, order = PoolShare(1, 30), list[str]()
    await share.take()
    tasks = [_take(share, "a", order) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    share.give_back()  # to the second one
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert order == ["a"]
    share.give_back()
    await asyncio.wait_for(share.take(), 30)


async def test_a_wait_has_a_limit() -> None:
    """A call that got no connection in time is refused, and those behind it get theirs."""
    share = PoolShare(1, 0.01)
    await share.take()
    with pytest.raises(ResourceExhaustedError):
        await share.take()
    share.give_back()
    await share.take()
