"""Windows of whole turns: where a turn begins, how many fit, and which limit cuts the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import (
    MAX_MESSAGES,
    MAX_TURNS,
    NONE,
    RESPONSE_SIZE,
    TOKEN_BUDGET,
    assistant,
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
    from support.service import Service

_MADE = {
    "U": lambda: user(1),
    "A": lambda: assistant(1),
    "S": lambda: mpb.Message(role=mpb.ROLE_SYSTEM, token_count=1),
    "C": lambda: calls("c"),
    "R": lambda: result("c"),
    "P": lambda: pinned(1),
}


def told(text: str) -> list[mpb.Message]:
    """Return the messages for these words: a kind, and optionally the turn's id."""
    messages = []
    for kind, *turn_id in text.split():
        message = _MADE[kind]()
        message.turn_id = "".join(turn_id)
        messages.append(message)
    return messages


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        pytest.param("U A U A U A", [1, 3, 5], id="a user message begins a turn"),
        pytest.param("U U A U", [1, 2, 4], id="each user message begins one"),
        pytest.param("A S U A", [1, 3], id="what is before the first user message is a turn"),
        pytest.param("U C R R A U C R A", [1, 6], id="calls and results belong to it"),
        pytest.param("U1 A1 U1 A1 U2 A2", [1, 5], id="one id is one turn, whoever speaks"),
        pytest.param("A1 A1 A2 C2 R2", [1, 3], id="with ids no user is needed"),
        pytest.param("U1 A2 U1 A1", [1, 2, 3], id="an id that comes back begins another"),
        pytest.param("U1 C1 R A1 U2", [1, 5], id="without an id it stays where it is"),
        pytest.param("U1 A1 U A U2 A2", [1, 3, 5], id="but a user message begins a turn"),
        pytest.param("U A A1 U1 U2", [1, 5], id="an id that comes in the middle"),
        pytest.param("U1 P A1 P2 U1 U2", [1, 6], id="pinned messages are part of none"),
    ],
)
async def test_where_turns_begin(service: Service, text: str, starts: list[int]) -> None:
    """The run of the newest n turns begins at the beginning of the nth of them."""
    await store(service, *told(text))
    for turns, start in enumerate(reversed(starts), start=1):
        read = await window(service, max_turns=turns, include_pinned=False)
        whole = start == starts[0]
        assert (sequences(read)[0], read.cut) == (start, NONE if whole else MAX_TURNS)
        assert end_of_run(read) == (None if whole else start)
    assert await window(service, max_turns=turns + 1) == await window(service)


async def test_no_turns_are_no_run(service: Service) -> None:
    """A limit of zero turns gives an empty run; pinned messages are not turns, and stay."""
    await store(service, *told("P U A"))
    read = await window(service, max_turns=0)
    assert (sequences(read), read.cut, end_of_run(read)) == ([1], MAX_TURNS, None)
    assert read.omitted_message_count == 2


@pytest.mark.parametrize("limits", [{"max_messages": 5}, {"token_budget": 5}])
async def test_a_turn_that_does_not_fit_is_left_out_whole(service: Service, limits: dict[str, int]) -> None:
    """If another limit cuts a turn, the whole turn is left out; its room is not filled again."""
    await store(service, *told("U A U A A U A"))
    cut = MAX_MESSAGES if "max_messages" in limits else TOKEN_BUDGET
    for turns in (2, 3, 2**31 - 1):
        read = await window(service, max_turns=turns, **limits)
        whole = [3, 4, 5, 6, 7]
        assert (sequences(read), read.cut, end_of_run(read)) == (whole, cut, 3)
    (name,) = limits
    read = await window(service, max_turns=2, **{name: 4})
    assert (sequences(read), read.cut, end_of_run(read)) == ([6, 7], cut, 6)
    assert (read.total_tokens, read.omitted_message_count) == (2, 5)


async def test_the_newest_turn_too(service: Service) -> None:
    """If even the newest turn does not fit, the run is empty and the cut names the limit."""
    await store(service, *told("P U A U C R R R"))
    for limits, cut in (({"max_messages": 5}, MAX_MESSAGES), ({"token_budget": 5}, TOKEN_BUDGET)):
        read = await window(service, max_turns=3, **limits)
        assert (sequences(read), read.cut, end_of_run(read)) == ([1], cut, None)


async def test_the_size_of_a_response_cuts_turns_whole(service: Service) -> None:
    """The response size cuts whole turns, as the other limits do."""
    large = "x" * 900 * 1024
    await store(service, *(kind(1, content=large) for kind in (user, assistant) * 2))
    read = await window(service, max_turns=2)
    assert (sequences(read), read.cut, end_of_run(read)) == ([3, 4], RESPONSE_SIZE, 3)


async def test_the_first_of_several_limits_is_named(service: Service) -> None:
    """If max_turns and another limit end the run at the same message, the cut is the other limit."""
    await store(service, *told("U A U A"))
    assert (await window(service, max_turns=1, max_messages=2)).cut == MAX_MESSAGES
    assert (await window(service, max_turns=1, token_budget=2)).cut == TOKEN_BUDGET
    assert (await window(service, max_turns=1, max_messages=3, token_budget=3)).cut == MAX_TURNS


async def test_results_without_their_call_are_dropped_from_turns_too(service: Service) -> None:
    """A turn loses results of an earlier turn's call at its beginning, and still begins there."""
    await store(service, *told("U1 C1 R2 A2 U2"))
    read = await window(service, max_turns=1)
    assert (sequences(read), read.cut, end_of_run(read)) == ([4, 5], MAX_TURNS, 4)


async def test_before_sequence_counts_the_turns_before_it(service: Service) -> None:
    """The newest turn may be a partial one before before_sequence; paging back returns each turn once."""
    await store(service, *told("U A U A A U A"))
    assert sequences(await window(service, max_turns=1, before_sequence=5)) == [3, 4]
    seen, read = [], await window(service, max_turns=1)
    while end_of_run(read) is not None:
        seen.append(sequences(read))
        read = await window(service, max_turns=1, before_sequence=end_of_run(read))
    assert [*seen, sequences(read)] == [[6, 7], [3, 4, 5], [1, 2]]


async def test_the_window_of_an_append(service: Service) -> None:
    """The window of an append has the same limit of turns."""
    await store(service, *told("U A U A"))
    request = pb.AppendMessageRequest(
        session_id="s", message=user(1), history=hpb.HistoryOptions(max_turns=2)
    )
    response = await service.stub.AppendMessage(request)
    assert (sequences(response.history), response.history.cut) == ([3, 4, 5], MAX_TURNS)


async def test_plain_windows_beside_windows_of_turns(service: Service) -> None:
    """Concurrent windows with and without a limit of turns each get their own result."""
    await store(service, *told("U A U A"))
    limits = [{"max_turns": 1}, {}, {"max_turns": 2}, {"max_messages": 3}] * 5
    read = await asyncio.gather(*(window(service, **each) for each in limits))
    assert [sequences(each) for each in read] == [[3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [2, 3, 4]] * 5
