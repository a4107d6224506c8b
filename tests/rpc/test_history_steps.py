"""Windows whose beginning moves in steps, so that successive windows begin with the same messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append
from steps_support import begin, beginnings

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import (
    MAX_MESSAGES,
    TOKEN_BUDGET,
    assistant,
    calls,
    end_of_run,
    result,
    sequences,
    store,
    user,
    window,
)

if TYPE_CHECKING:
    from support.service import Service


async def test_the_beginning_moves_by_steps_of_tokens(service: Service) -> None:
    """The run begins at a multiple of the step, and stays there until it does not fit the budget."""
    found = await beginnings(service, 30, 10, token_budget=100, step_tokens=30, max_messages=100)
    assert found == [(1, 10), (4, 3), (7, 3), (10, 3), (13, 3), (16, 3), (19, 3), (22, 2)]


async def test_the_beginning_moves_by_steps_of_messages(service: Service) -> None:
    """The run begins at a sequence that is a multiple of the step."""
    found = await beginnings(service, 30, 10, max_messages=10, step_messages=4)
    assert found == [(1, 10), (4, 3), (8, 4), (12, 4), (16, 4), (20, 4), (24, 1)]


async def test_without_a_step_the_beginning_moves_every_time(service: Service) -> None:
    """A step of zero or one moves the beginning with every message, as no step does."""
    await begin(service, *[user(10)] * 20)
    for limits in ({"max_messages": 7}, {"token_budget": 75}):
        expected = await window(service, **limits)
        assert sequences(expected) == list(range(14, 21))
        for step in (0, 1):
            read = await window(service, step_tokens=step, step_messages=step, **limits)
            assert (sequences(read), read.cut) == (sequences(expected), expected.cut)


async def test_6501_tokens_before_a_newest_message_of_3500(service: Service) -> None:
    """The multiple falls inside the newest message, which is larger than the step: the run begins with it."""
    await begin(service, *[user(500)] * 13, user(1), user(3_500))
    limits = {"token_budget": 4_000, "step_tokens": 1_000, "max_messages": 100}
    read = await window(service, **limits)
    assert (sequences(read), read.cut, end_of_run(read)) == ([15], TOKEN_BUDGET, 15)
    assert (read.total_tokens, read.tokens_until_move, read.messages_until_move) == (3_500, 500, 99)
    await store(service, user(500))
    read = await window(service, **limits)
    assert (sequences(read), read.tokens_until_move) == ([15, 16], 0)
    await store(service, user(1))
    assert sequences(await window(service, **limits)) == [16, 17]


async def test_a_budget_of_1000_with_a_step_of_2000(service: Service) -> None:
    """More than half of the budget counts as that half, so small messages fill half of it."""
    await begin(service, *[user(100)] * 15)
    found = await beginnings(service, 16, 100, token_budget=1_000, step_tokens=2_000, max_messages=100)
    assert found == [(11, 5), (16, 5), (21, 5), (26, 1)]
    read = await window(service, token_budget=1_000, step_tokens=2_000, max_messages=100)
    assert (read.total_tokens, read.tokens_until_move) == (600, 400)


async def test_a_message_as_large_as_the_step_holds_the_boundary(service: Service) -> None:
    """The run begins behind the message, so a window may have less than half of its budget."""
    await begin(service, user(49), *[user(50)] * 3, user(2))
    read = await window(service, token_budget=100, step_tokens=50)
    assert (sequences(read), read.total_tokens, read.tokens_until_move) == ([5], 2, 49)
    await append(service, "s", user(49))
    read = await window(service, token_budget=100, step_tokens=50)
    assert (sequences(read), read.tokens_until_move) == ([5, 6], 0)
    await append(service, "s", user(1))
    assert sequences(await window(service, token_budget=100, step_tokens=50)) == [6, 7]


async def test_sequences_1_to_29_and_501_to_505(service: Service) -> None:
    """After a gap in the sequences the run begins at the next message that is there."""
    await begin(service, *[user(1)] * 500)
    await service.stub.TruncateMessages(pb.TruncateMessagesRequest(session_id="s", keep_through_sequence=29))
    await append(service, "s", *[user(1)] * 5)
    limits = {"max_messages": 20, "step_messages": 5}
    read = await window(service, **limits)
    assert sequences(read) == [*range(15, 30), *range(501, 506)]
    assert (read.cut, read.messages_until_move) == (MAX_MESSAGES, 0)
    found = await beginnings(service, 25, 1, **limits)
    assert found == [(20, 5), (25, 5), (501, 4), (505, 5), (510, 5), (515, 1)]


@pytest.mark.parametrize("large", [60, 61, 95])
async def test_a_message_larger_than_the_step(service: Service, large: int) -> None:
    """A large message is the beginning while it fits, and the message behind it when it does not."""
    await begin(service, *[user(10)] * 9, user(large))
    found = await beginnings(service, 8, 10, token_budget=120, step_tokens=30, max_messages=100)
    behind = (120 - large) // 10
    assert [first for first, _ in found] == [10, 11] if large == 95 else [7, 10, 11]
    assert sum(count for first, count in found if first < 11) == behind


async def test_both_steps(service: Service) -> None:
    """Where both limits cut, the later beginning counts, and ``cut`` names its limit."""
    await begin(service, *[user(10)] * 43)
    tokens = {"token_budget": 200, "step_tokens": 50}
    read = await window(service, **tokens, max_messages=100)
    assert (sequences(read)[0], read.cut) == (26, TOKEN_BUDGET)
    messages = {"max_messages": 20, "step_messages": 8}
    read = await window(service, **messages)
    assert (sequences(read)[0], read.cut) == (24, MAX_MESSAGES)
    read = await window(service, **tokens, **messages)
    assert (sequences(read)[0], read.cut, end_of_run(read)) == (26, TOKEN_BUDGET, 26)
    assert (read.tokens_until_move, read.messages_until_move) == (20, 0)
    read = await window(service, **tokens, max_messages=19, step_messages=8)
    assert (sequences(read)[0], read.cut) == (32, MAX_MESSAGES)
    read = await window(service, **tokens, max_messages=18, step_messages=26)
    assert (sequences(read)[0], read.cut) == (27, MAX_MESSAGES)


async def test_at_a_tie_the_maximum_of_messages_is_named(service: Service) -> None:
    """If both steps give the same beginning, the cut is MAX_MESSAGES."""
    await begin(service, *[user(10)] * 20)
    read = await window(service, max_messages=10, step_messages=4, token_budget=100, step_tokens=110)
    assert (sequences(read)[0], read.cut) == (12, MAX_MESSAGES)
    await store(service, user(10))
    read = await window(service, max_messages=10, step_messages=5, token_budget=100, step_tokens=50)
    assert (sequences(read)[0], read.cut) == (16, TOKEN_BUDGET)


@pytest.mark.parametrize("results", [3, 4, 5])
async def test_a_step_that_would_leave_only_results(service: Service, results: int) -> None:
    """A step does not cut a call from its results if they fit together."""
    ids = [f"call-{n}" for n in range(results)]
    await begin(service, *[user(10)] * 9, calls(*ids, tokens=10), *(result(name, 10) for name in ids))
    size = results + 1
    for limits, cut in (
        ({"token_budget": size * 10, "step_tokens": size * 10}, TOKEN_BUDGET),
        ({"max_messages": size, "step_messages": size}, MAX_MESSAGES),
    ):
        read = await window(service, **limits)
        assert sequences(read) == list(range(10, 11 + results))
        assert (read.cut, end_of_run(read), read.messages_until_move) == (
            cut,
            10,
            0 if cut == MAX_MESSAGES else 20 - size,
        )
    too_small = await window(service, max_messages=results, step_messages=results)
    assert (sequences(too_small), too_small.cut) == ([], MAX_MESSAGES)


async def test_a_step_that_would_leave_only_the_rest_of_a_row(service: Service) -> None:
    """With whole responses, a step does not cut the newest response in two if it fits."""
    await begin(service, *[user(10)] * 9, *[assistant(10)] * 6)
    for limits, most in (
        ({"token_budget": 60, "step_tokens": 25, "max_messages": 100}, {"token_budget": 50}),
        ({"max_messages": 6, "step_messages": 4}, {"max_messages": 5}),
    ):
        assert sequences(await window(service, **limits))[0] > 10
        read = await window(service, **limits, whole_responses=True)
        assert sequences(read) == list(range(10, 16))
        assert sequences(await window(service, **limits | most, whole_responses=True)) == []


async def test_more_than_a_thousand_messages_is_a_thousand(service: Service) -> None:
    """The cap of 1,000 messages applies before the step."""
    for _ in range(3):
        await begin(service, *[user(1)] * 400)
    read = await window(service, max_messages=5_000, step_messages=300)
    assert (sequences(read), read.cut) == (list(range(300, 1_201)), MAX_MESSAGES)
    assert read.messages_until_move == 99
    read = await window(service, max_messages=5_000, step_messages=2**31 - 1)
    assert (sequences(read)[0], read.messages_until_move) == (500, 299)


async def test_windows_with_and_without_steps_at_once(service: Service) -> None:
    """Concurrent windows with and without steps and options each get their own result."""
    await begin(service, *[user(10), assistant(10), assistant(10)] * 5)
    cases: list[tuple[dict[str, Any], int]] = [
        ({"max_messages": 8}, 8),
        ({"max_messages": 8, "step_messages": 4}, 8),
        ({"max_messages": 7, "step_messages": 4}, 9),
        ({"max_messages": 7, "whole_responses": True}, 10),
        ({"token_budget": 70, "step_tokens": 30}, 10),
        ({"token_budget": 70}, 9),
        ({"max_turns": 2}, 10),
    ]
    read = await asyncio.gather(*(window(service, **limits) for limits, _ in cases * 5))
    assert [sequences(each)[0] for each in read] == [first for _, first in cases] * 5
