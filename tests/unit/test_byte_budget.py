"""A limited budget for which calls wait in a queue."""

from __future__ import annotations

import asyncio

from sessionhistory_server.rpc.peers.byte_budget import ByteBudget


async def _in_queue(budget: ByteBudget, *sizes: int) -> list[asyncio.Task[None]]:
    takers = [asyncio.create_task(budget.take(size)) for size in sizes]
    await asyncio.sleep(0)
    return takers


async def test_takers_are_let_in_in_order() -> None:
    """A small request waits behind a large one."""
    budget = ByteBudget(10)
    await budget.take(8)
    much, little = await _in_queue(budget, 8, 1)
    assert budget.queued_bytes == 9
    budget.change(-1)
    await asyncio.sleep(0)
    assert not much.done()
    assert not little.done()
    budget.change(-7)
    await asyncio.gather(much, little)
    assert budget.queued_bytes == 0


async def test_one_is_always_let_in() -> None:
    """A taker that is alone is let in, however much it takes."""
    budget = ByteBudget(10)
    await budget.take(11)
    (other,) = await _in_queue(budget, 11)
    assert not other.done()
    budget.change(-11)
    await other


async def test_cancelled_takers_lose_no_bytes() -> None:
    """A cancelled taker gives up its bytes, even if it is cancelled while it gets them."""
    budget = ByteBudget(10)
    await budget.take(10)
    waiting, let_in, last = await _in_queue(budget, 10, 10, 10)
    waiting.cancel()
    await asyncio.wait((waiting,))
    budget.change(-10)
    let_in.cancel()
    await asyncio.wait((let_in,))
    assert let_in.cancelled()
    await last
    assert not budget.try_take(1)


async def test_one_that_gives_up_holds_nobody_up() -> None:
    """A taker that gives up frees the budget for the next one in the queue."""
    budget = ByteBudget(10)
    await budget.take(5)
    much, little = await _in_queue(budget, 6, 5)
    much.cancel()
    await asyncio.wait((much,))
    await asyncio.sleep(0)
    assert little.done()
