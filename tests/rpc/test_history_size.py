"""A response stays under 3.5 MiB, and so under the 4 MiB that clients accept by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import (
    MAX_MESSAGES,
    NONE,
    RESPONSE_SIZE,
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
    from collections.abc import Callable

    from sessionhistory.v1 import message_pb2 as mpb
    from support.service import Service

KIB = 1024
MAX_RESPONSE = 3_584 * KIB
# A window may be cut a little early: the size of a stored message is an upper bound.
MARGIN = 8 * KIB

BIG = "é" * (450 * KIB)  # 900 KiB of UTF-8
LARGEST = "x" * (1024 * KIB - 200)


def is_as_large_as_fits(response: pb.GetHistoryResponse | pb.AppendMessageResponse, one_more: int) -> bool:
    """Return whether a response keeps the limit, and would break it with one more message of this size."""
    return MAX_RESPONSE - MARGIN - one_more < response.ByteSize() < MAX_RESPONSE


async def test_large_messages_cut_the_run(service: Service) -> None:
    """The run holds the messages that fit under 3.5 MiB, and paging returns all others."""
    await store(service, *(user(1, content=BIG) for _ in range(8)))
    response = await service.stub.GetHistory(pb.GetHistoryRequest(session_id="s"))
    assert is_as_large_as_fits(response, 900 * KIB)
    read = response.history
    assert (sequences(read), read.cut, end_of_run(read)) == ([6, 7, 8], RESPONSE_SIZE, 6)
    assert (read.total_tokens, read.omitted_message_count) == (3, 5)
    assert all(message.content == BIG for message in read.messages)
    read = await window(service, before_sequence=6)
    assert (sequences(read), read.cut, end_of_run(read)) == ([3, 4, 5], RESPONSE_SIZE, 3)
    read = await window(service, before_sequence=3)
    assert (sequences(read), read.cut, end_of_run(read)) == ([1, 2], NONE, None)


async def test_small_messages_cut_the_run_close_to_the_limit(service: Service) -> None:
    """The response is close to 3.5 MiB: less than a message and the margin is left."""
    batch = pb.AppendMessagesRequest(session_id="s", messages=[user(1, content="x" * 5_900)] * 500)
    await store(service, user(1))
    for _ in range(2):
        await service.stub.AppendMessages(batch)
    response = await service.stub.GetHistory(pb.GetHistoryRequest(session_id="s", max_messages=1_000))
    frames = 100 * len(response.history.messages)
    assert response.history.cut == RESPONSE_SIZE
    assert is_as_large_as_fits(response, 5_900 + frames)


async def test_the_largest_message_fits_alone(service: Service) -> None:
    """A message of just under 1 MiB is stored, returned and read."""
    await store(service, user(content=LARGEST), user(content=LARGEST))
    assert sequences(await window(service, max_messages=1)) == [2]
    assert (await window(service)).messages[0].content == LARGEST


async def test_other_limits_are_named_before_the_size(service: Service) -> None:
    """If the size and another limit end the run at the same message, the cut is the other limit."""
    await store(service, *(user(1, content=BIG) for _ in range(5)))
    assert (await window(service, max_messages=3)).cut == MAX_MESSAGES
    assert (await window(service, token_budget=3)).cut == TOKEN_BUDGET
    assert (await window(service, max_messages=4, token_budget=4)).cut == RESPONSE_SIZE
    assert (await window(service, max_messages=2)).cut == MAX_MESSAGES


async def test_pinned_messages_take_their_part_of_the_response(service: Service) -> None:
    """Pinned messages come oldest first until one does not fit the response; the run gets the rest."""
    await store(service, *(pinned(1, content=LARGEST) for _ in range(5)), user(1), user(1, content=BIG))
    response = await service.stub.GetHistory(pb.GetHistoryRequest(session_id="s"))
    assert response.ByteSize() < MAX_RESPONSE
    read = response.history
    assert (sequences(read), read.cut, end_of_run(read)) == ([1, 2, 3], RESPONSE_SIZE, None)
    await store(service, user(1))
    assert sequences(await window(service)) == [1, 2, 3, 8]
    assert sequences(await window(service, include_pinned=False)) == [6, 7, 8]


async def test_a_result_whose_call_the_size_cut_off_is_dropped(service: Service) -> None:
    """The size is a limit like the others: a tool result whose call it cuts off is dropped."""
    call = calls("a")
    call.content = BIG
    large_result = result("a")
    large_result.content = BIG
    await store(service, call, large_result, large_result, large_result, user(1))
    read = await window(service)
    assert (sequences(read), read.cut, end_of_run(read)) == ([5], RESPONSE_SIZE, 5)


@pytest.mark.parametrize("make", [user, pinned])
async def test_the_window_in_an_append_leaves_room_for_the_message(
    service: Service, make: Callable[..., mpb.Message]
) -> None:
    """An append of nearly 1 MiB returns it as stored and in its window, in less than 3.5 MiB."""
    await store(service, *(user(1, content=LARGEST) for _ in range(4)))
    request = pb.AppendMessageRequest(
        session_id="s", message=make(1, content=LARGEST), history=hpb.HistoryOptions()
    )
    response = await service.stub.AppendMessage(request)
    assert response.message.content == LARGEST
    assert is_as_large_as_fits(response, len(LARGEST))
    read = response.history
    assert (sequences(read), read.cut, end_of_run(read)) == ([4, 5], RESPONSE_SIZE, 4)
    assert sequences(await window(service)) == [3, 4, 5]


async def test_other_fields_count_as_much_as_the_text(service: Service) -> None:
    """Payload, parts and arguments count towards a message's size."""
    await store(
        service,
        *(user(1, payload=b"\0" * (900 * KIB)) for _ in range(2)),
        *(user(1, parts=[{"media": {"data": b"\xff" * (900 * KIB)}}]) for _ in range(2)),
        *(user(1, tool_calls=[{"name": "f", "arguments": "\n" * (900 * KIB)}]) for _ in range(2)),
    )
    response = await service.stub.GetHistory(pb.GetHistoryRequest(session_id="s"))
    assert is_as_large_as_fits(response, 900 * KIB)
    assert (sequences(response.history), response.history.cut) == ([4, 5, 6], RESPONSE_SIZE)
