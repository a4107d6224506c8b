"""The order of calls that are in progress together."""

from __future__ import annotations

import asyncio

from sessionhistory_server.call_order import OrderedCall


def calls(count: int) -> list[OrderedCall]:
    """Return calls in an order."""
    found: list[OrderedCall] = []
    for _ in range(count):
        found.append(OrderedCall(found[-1] if found else None))
    return found


async def waits(task: asyncio.Task[None]) -> bool:
    """Return whether a task still waits when no other task has anything to do."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_a_call_may_share_once_the_one_before_is_sent() -> None:
    """A call waits until the call before it is sent, and not until it has ended."""
    first, second, third = calls(3)
    assert first.may_share
    waiting = asyncio.create_task(second.until_sharable())
    assert await waits(waiting)
    assert not third.may_share
    first.share()
    await waiting
    assert second.may_share
    assert not second.is_first


async def test_behind_a_call_that_is_left_out_all_wait_for_its_end() -> None:
    """Calls behind a call that is left out are not sent until it has ended."""
    first, second, third = calls(3)
    for call in (first, second):
        call.share()
    first.leave()
    assert not second.may_share
    second.leave()
    waiting = [asyncio.create_task(second.until_first()), asyncio.create_task(third.until_sharable())]
    assert await waits(waiting[0])
    first.end()
    await waiting[0]
    assert await waits(waiting[1])
    second.end()
    await waiting[1]
    assert third.is_first


async def test_a_call_that_is_left_out_does_not_wait_to_share() -> None:
    """A call that is alone, such as one that is counted again, stays so."""
    first, second = calls(2)
    first.share()
    second.leave()
    await second.until_sharable()
    assert not second.may_share


async def test_a_call_that_ends_early_leaves_the_order_as_it_is() -> None:
    """Behind a call that has ended early, a call waits for the calls before that one."""
    first, second, third = calls(3)
    gone = asyncio.create_task(second.until_first())
    assert await waits(gone)
    waiting = asyncio.create_task(third.until_first())
    gone.cancel()
    second.end()
    assert await waits(waiting)
    first.end()
    await waiting
    assert gone.cancelled()


async def test_an_end_is_final() -> None:
    """A statement that runs on after its call has ended holds up no call."""
    first, second = calls(2)
    first.share()
    first.end()
    first.leave()
    first.end()
    assert second.is_first
    assert second.may_share


def test_calls_that_have_ended_are_forgotten() -> None:
    """However many calls a stream makes, the last one holds few: here four are in progress at a time."""
    in_progress: list[OrderedCall] = []
    last = None
    for number in range(100):
        last = OrderedCall(last)
        in_progress.append(last)
        if len(in_progress) == 4:
            in_progress.pop(number % 4).end()
        assert _held(last) <= 12


def _held(call: OrderedCall | None) -> int:
    count = 0
    while call is not None:
        call, count = call.before, count + 1
    return count
