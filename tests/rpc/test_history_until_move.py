"""How many tokens and messages may follow until a window's beginning moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rpc_support import append

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import (
    MAX_MESSAGES,
    TOKEN_BUDGET,
    sequences,
    store,
    user,
    window,
)

if TYPE_CHECKING:
    from support.service import Service


async def test_a_limit_without_a_step(service: Service) -> None:
    """If a limit without a step cuts, the beginning moves with every message, and the window says so."""
    await append(service, "s", *[user(10)] * 40, new_session={})
    read = await window(service, token_budget=200, step_tokens=50, max_messages=10)
    assert (sequences(read)[0], read.cut) == (31, MAX_MESSAGES)
    assert (read.tokens_until_move, read.messages_until_move) == (100, 0)
    read = await window(service, token_budget=100, max_messages=30, step_messages=5)
    assert (sequences(read)[0], read.cut) == (31, TOKEN_BUDGET)
    assert (read.tokens_until_move, read.messages_until_move) == (0, 0)


async def test_the_other_fields_are_absent_without_a_step(service: Service) -> None:
    """A window says when its beginning moves only with a step, and tokens only with a token budget."""
    await append(service, "s", *[user(10)] * 5, new_session={})
    fields = ("tokens_until_move", "messages_until_move")
    for limits, expected in (
        ({"token_budget": 100}, [False, False]),
        ({"step_tokens": 0, "step_messages": 0, "token_budget": 100}, [False, False]),
        ({"step_tokens": 10}, [False, True]),
        ({"step_messages": 10}, [False, True]),
        ({"step_messages": 10, "token_budget": 100}, [True, True]),
    ):
        read = await window(service, **limits)
        assert [read.HasField(field) for field in fields] == expected
        assert (read.tokens_until_move, read.messages_until_move) == (50 * expected[0], 15 * expected[1])


@pytest.mark.parametrize("step", [1, 7, 20, 30, 50, 1_000])
@pytest.mark.parametrize("sizes", [[10], [3, 8, 1], [25, 1, 1]])
async def test_exactly_so_many_tokens_may_follow(service: Service, sizes: list[int], step: int) -> None:
    """With tokens_until_move tokens more the run begins where it did, and with one more it does not."""
    limits = {"token_budget": 100, "step_tokens": step, "max_messages": 1_000}
    await append(service, "s", *[user(10)] * 10, new_session={})
    for number in range(5):
        await append(service, "s", *(user(size) for size in sizes * (3 + number % 2)))
        await _move_exactly(service, limits, "tokens_until_move")


@pytest.mark.parametrize("step", [1, 2, 4, 7, 100])
async def test_exactly_so_many_messages_may_follow(service: Service, step: int) -> None:
    """With messages_until_move messages more the run begins where it did, and with one more it does not."""
    limits = {"max_messages": 10, "step_messages": step}
    for _ in range(8):
        await append(service, "s", *[user(1)] * 3, new_session={})
        await _move_exactly(service, limits, "messages_until_move")


async def _move_exactly(service: Service, limits: dict[str, int], field: str) -> None:
    """Append as much as may follow, in a fork, and then one more."""
    read = await window(service, **limits)
    left = getattr(read, field)
    fork = pb.ForkSessionRequest(session_id="s", new_session_id=f"{read.last_sequence}")
    name = (await service.stub.ForkSession(fork)).session.session_id
    first = sequences(read)[0]
    if left:
        more = [user(left)] if field == "tokens_until_move" else [user(1)] * left
        await append(service, name, *more)
    still = await window(service, name, **limits)
    assert (sequences(still)[0], getattr(still, field)) == (first, 0)
    assert list(still.messages)[: len(read.messages)] == list(read.messages)
    await append(service, name, user(1))
    assert sequences(await window(service, name, **limits))[0] > first


async def test_the_size_of_a_response_moves_the_beginning_every_time(service: Service) -> None:
    """The size of a response has no step: ``messages_until_move`` is 0."""
    large = "x" * 900 * 1024
    await store(service, *(user(1, content=large) for _ in range(5)))
    read = await window(service, step_tokens=10, step_messages=4)
    assert (sequences(read), read.messages_until_move) == ([3, 4, 5], 0)
