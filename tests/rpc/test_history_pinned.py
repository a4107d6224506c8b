"""Pinned messages come first in a window: oldest first, until one does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.errors import fails
from support.talk import (
    MAX_MESSAGES,
    NONE,
    TOKEN_BUDGET,
    calls,
    end_of_run,
    pinned,
    result,
    sequences,
    store,
    user,
    window,
)

if TYPE_CHECKING:
    from sessionhistory.v1 import message_pb2 as mpb
    from support.service import Service


async def test_a_pinned_message_stays_however_old(service: Service) -> None:
    """A pinned message stands in sequence order, and takes its part of both limits."""
    await store(service, user(1), pinned(2), *(user(3) for _ in range(30)))
    read = await window(service, max_messages=4)
    assert (sequences(read), read.total_tokens, read.omitted_message_count) == ([2, 30, 31, 32], 11, 28)
    assert (read.cut, end_of_run(read)) == (MAX_MESSAGES, 30)
    assert sequences(await window(service, token_budget=10)) == [2, 31, 32]


async def test_pinned_messages_until_one_does_not_fit(service: Service) -> None:
    """The first pinned message that does not fit ends them, even if a later one would fit.

    The run gets the rest.
    """
    await store(service, pinned(10), pinned(20), user(1), pinned(1), user(1))
    by_budget = {
        9: [3, 5],
        10: [1],
        11: [1, 5],
        29: [1, 3, 5],
        30: [1, 2],
        31: [1, 2, 4],
        32: [1, 2, 4, 5],
        33: [1, 2, 3, 4, 5],
    }
    for budget, expected in by_budget.items():
        assert sequences(await window(service, token_budget=budget)) == expected
    by_count = {1: [1], 2: [1, 2], 3: [1, 2, 4], 4: [1, 2, 4, 5], 5: [1, 2, 3, 4, 5]}
    for most, expected in by_count.items():
        assert sequences(await window(service, max_messages=most)) == expected


async def test_pinned_messages_that_fill_a_limit_leave_no_run(service: Service) -> None:
    """The run is empty, names the limit, and names no next page."""
    await store(service, pinned(5), pinned(5), user(1))
    read = await window(service, max_messages=2)
    assert (sequences(read), read.cut, end_of_run(read)) == ([1, 2], MAX_MESSAGES, None)
    read = await window(service, token_budget=10)
    assert (sequences(read), read.cut, end_of_run(read)) == ([1, 2], TOKEN_BUDGET, None)


async def test_a_pinned_message_that_does_not_fit_is_not_in_the_run(service: Service) -> None:
    """The run has unpinned messages only, however much room there is; a pinned one does not end it."""
    await store(service, user(1), pinned(9), user(1), pinned(9), user(1))
    read = await window(service, token_budget=14)
    assert (sequences(read), read.cut, end_of_run(read)) == ([1, 2, 3, 5], NONE, None)
    assert read.omitted_message_count == 1


async def test_pinned_messages_can_be_left_out(service: Service) -> None:
    """With include_pinned = false pinned messages are not in the window and use no limit."""
    await store(service, pinned(5), user(1), pinned(5), user(1), user(1))
    read = await window(service, include_pinned=False, max_messages=2, token_budget=2)
    assert (sequences(read), read.omitted_message_count) == ([4, 5], 3)
    read = await window(service, include_pinned=False, token_budget=3)
    assert (sequences(read), read.cut, end_of_run(read)) == ([2, 4, 5], NONE, None)
    assert sequences(await window(service, include_pinned=True)) == [1, 2, 3, 4, 5]


async def test_a_session_of_pinned_messages_has_an_uncut_run(service: Service) -> None:
    """In a session without unpinned messages nothing cuts the run."""
    await store(service, pinned(5), pinned(5))
    read = await window(service, max_messages=1)
    assert (sequences(read), read.cut, end_of_run(read)) == ([1], NONE, None)
    read = await window(service, include_pinned=False)
    assert (sequences(read), read.cut, end_of_run(read)) == ([], NONE, None)


async def test_pinned_messages_are_in_every_page(service: Service) -> None:
    """Paging back repeats pinned messages before the page's end, and returns all others once."""
    messages = [pinned(1) if n % 10 == 0 else user(1) for n in range(1, 41)]
    await store(service, *messages)
    runs: list[int] = []
    before = 41
    while True:
        read = await window(service, max_messages=7, before_sequence=before)
        have = sequences(read)
        assert [n for n in have if n % 10 == 0] == [n for n in (10, 20, 30, 40) if n < before]
        runs = [n for n in have if n % 10] + runs
        if not read.HasField("next_before_sequence"):
            break
        before = read.next_before_sequence
    assert runs == [n for n in range(1, 41) if n % 10]


@pytest.mark.parametrize("message", [result(), calls("a")])
async def test_what_belongs_to_a_tool_call_cannot_be_pinned(service: Service, message: mpb.Message) -> None:
    """A TOOL message and a message with tool calls cannot be pinned."""
    message.pinned = True
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await store(service, message)
    assert list(failure.violations) == ["message.pinned"]


async def test_at_most_64_pinned_messages(service: Service) -> None:
    """The sixty-fifth pinned message is FAILED_PRECONDITION, alone or in a batch.

    Unpinned messages are still stored.
    """
    await store(service, user(1))
    full = pb.AppendMessagesRequest(session_id="s", messages=[pinned(1)] * 64)
    await service.stub.AppendMessages(full)
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED") as failure:
        await store(service, pinned(1))
    assert failure.metadata == {"session_id": "s", "pinned_count": "64"}
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED"):
        await service.stub.AppendMessages(
            pb.AppendMessagesRequest(session_id="s", messages=[user(1), pinned(1)])
        )
    await store(service, user(1))
    read = await window(service, max_messages=66)
    assert sequences(read) == list(range(1, 67))
