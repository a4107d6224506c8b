"""Windows of a compacted session: the summary, then pinned messages, then messages after the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    compact,
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


async def test_the_summary_stands_in_the_place_of_the_last_message_it_covers(service: Service) -> None:
    """The summary is a message of the window with the last covered sequence; the window names its range."""
    await store(service, *(user(10, content=str(n)) for n in range(1, 8)))
    compacted = await compact(service, 5, 3, content="one to five", message={"model": "m", "metadata": "{}"})
    read = await window(service)
    assert sequences(read) == [5, 6, 7]
    assert read.messages[0] == compacted.message
    assert (read.messages[0].content, read.messages[0].model) == ("one to five", "m")
    assert read.messages[0].role == mpb.ROLE_SYSTEM
    assert (read.cut, end_of_run(read), read.last_sequence) == (NONE, None, 7)
    assert (read.total_tokens, read.omitted_message_count) == (23, 5)
    assert read.summary == compacted.summary
    assert (read.summary.through_sequence, read.summary.message_count) == (5, 5)
    assert (read.summary.total_tokens, read.summary.create_time) == (50, read.messages[0].create_time)


async def test_a_window_without_a_summary_says_so(service: Service) -> None:
    """A window has no summary before the first compaction, or if it ends before the covered messages."""
    await store(service, *(user(1) for _ in range(5)))
    assert not (await window(service)).HasField("summary")
    await compact(service, 3)
    read = await window(service, before_sequence=3)
    assert (sequences(read), read.cut, read.HasField("summary")) == ([1, 2], NONE, False)


@pytest.mark.parametrize(
    ("before", "expected", "through"),
    [
        (1, [], None),
        (3, [1, 2], None),
        (4, [3], 3),
        (6, [3, 4, 5], 3),
        (7, [6], 6),
        (9, [6, 7, 8], 6),
        (10, [9], 9),
        (11, [9, 10], 9),
        (2**63 - 1, [9, 10], 9),
    ],
)
async def test_the_newest_summary_applies_that_covers_only_what_is_before_the_end(
    service: Service, before: int, expected: list[int], through: int | None
) -> None:
    """If the newest summary covers messages at or after the window's end, an older summary applies."""
    await store(service, *(user(1) for _ in range(10)))
    for covered in (6, 3, 9):
        await compact(service, covered, content=str(covered))
    read = await window(service, before_sequence=before)
    assert (sequences(read), read.cut) == (expected, NONE)
    assert (read.summary.through_sequence or None) == through
    assert read.summary.message_count == (through or 0)
    assert [m.content for m in read.messages if m.content] == ([str(through)] if through else [])


async def test_pinned_messages_stay_beside_the_summary(service: Service) -> None:
    """A summary covers no pinned message; a window can leave pinned messages out, but not the summary."""
    await store(service, pinned(1), user(2), pinned(4), user(8), user(16), pinned(32), user(64))
    compacted = await compact(service, 4, 100)
    assert (compacted.summary.message_count, compacted.summary.total_tokens) == (2, 10)
    read = await window(service)
    assert sequences(read) == [1, 3, 4, 5, 6, 7]
    assert (read.total_tokens, read.omitted_message_count, read.cut) == (217, 2, NONE)
    read = await window(service, include_pinned=False)
    assert (sequences(read), read.omitted_message_count) == ([4, 5, 7], 5)


@pytest.mark.parametrize(
    ("limits", "expected", "cut", "end"),
    [
        ({"max_messages": 6}, [1, 2, 5, 6, 7, 8], NONE, None),
        ({"max_messages": 5}, [1, 2, 5, 7, 8], MAX_MESSAGES, 7),
        ({"max_messages": 3}, [1, 2, 5], MAX_MESSAGES, None),
        ({"max_messages": 2}, [1, 5], MAX_MESSAGES, None),
        ({"max_messages": 1}, [5], MAX_MESSAGES, None),
        ({"max_messages": 0}, [], MAX_MESSAGES, None),
        ({"token_budget": 113}, [1, 2, 5, 6, 7, 8], NONE, None),
        ({"token_budget": 112}, [1, 2, 5, 7, 8], TOKEN_BUDGET, 7),
        ({"token_budget": 104}, [1, 5, 7, 8], TOKEN_BUDGET, 7),
        ({"token_budget": 100}, [5], TOKEN_BUDGET, None),
        ({"token_budget": 99}, [1, 2, 6, 7, 8], TOKEN_BUDGET, 6),
        ({"token_budget": 4}, [1, 7, 8], TOKEN_BUDGET, 7),
        ({"token_budget": 0}, [], TOKEN_BUDGET, None),
    ],
)
async def test_the_limits(
    service: Service, limits: dict[str, int], expected: list[int], cut: hpb.HistoryCut, end: int | None
) -> None:
    """A summary that does not fit is left out, and the window's cut says so; the run follows as usual."""
    await store(service, pinned(2), pinned(4), user(1), user(1), user(1), user(5), user(1), user(1))
    await compact(service, 5, 100)
    read = await window(service, **limits)
    assert (sequences(read), read.cut, end_of_run(read)) == (expected, cut, end)
    assert read.total_tokens == sum(message.token_count for message in read.messages)
    assert read.HasField("summary") == (5 in expected)
    assert read.omitted_message_count == 8 - len(expected) + (5 in expected)


async def test_the_run_ends_at_the_summary_even_if_that_does_not_fit(service: Service) -> None:
    """Covered messages never come back into the run, even if the summary does not fit.

    The window before begins with the summary if it fits there.
    """
    await store(service, *(user(1) for _ in range(6)))
    await compact(service, 4, 10)
    read = await window(service, token_budget=9)
    assert (sequences(read), read.cut, end_of_run(read)) == ([5, 6], TOKEN_BUDGET, 5)
    assert (sequences(await window(service, token_budget=11)), read.omitted_message_count) == ([4, 6], 4)
    read = await window(service, token_budget=10, before_sequence=end_of_run(read))
    assert (sequences(read), read.cut, end_of_run(read)) == ([4], NONE, None)
    assert (await window(service, token_budget=9, before_sequence=5)).cut == TOKEN_BUDGET


async def test_a_summary_of_everything_is_all_of_the_window(service: Service) -> None:
    """After a summary of all messages the window holds only the summary, until the next append."""
    await store(service, user(5), assistant(5))
    await compact(service, 2)
    read = await window(service)
    assert (sequences(read), read.cut, read.total_tokens) == ([2], NONE, 1)
    await store(service, user(5))
    assert sequences(await window(service)) == [2, 3]


async def test_paging_back_returns_each_message_after_the_summary_once(service: Service) -> None:
    """Paging back repeats the summary in each window and every later message once.

    The last window says that nothing is left.
    """
    await store(service, *(user(1) for _ in range(20)))
    await compact(service, 8)
    seen: list[int] = []
    limits: dict[str, Any] = {"max_messages": 4}
    for _ in range(4):
        read = await window(service, **limits)
        assert sequences(read)[0] == 8
        seen = sequences(read)[1:] + seen
        limits["before_sequence"] = end_of_run(read)
    assert (seen, read.cut, end_of_run(read)) == (list(range(9, 21)), NONE, None)


async def test_results_whose_call_is_covered_are_dropped(service: Service) -> None:
    """Results of covered calls are dropped, as if the call had been cut off."""
    await store(service, user(1), calls("a", "b"), result("a"), result("b"), assistant(1), user(1))
    await compact(service, 2, message={"role": mpb.ROLE_ASSISTANT})
    read = await window(service)
    assert (sequences(read), read.cut, end_of_run(read)) == ([2, 5, 6], NONE, None)
    assert read.omitted_message_count == 4
    await compact(service, 3)
    assert sequences(await window(service)) == [3, 5, 6]


async def test_whole_turns_begin_after_the_summary(service: Service) -> None:
    """A turn that is covered in part counts as one turn, and its rest is not cut off."""
    await store(
        service, *(made(1) for made in (user, assistant, assistant, user, assistant, user, assistant))
    )
    await compact(service, 2)
    expected = {0: [2], 1: [2, 6, 7], 2: [2, 4, 5, 6, 7], 3: [2, 3, 4, 5, 6, 7], 4: [2, 3, 4, 5, 6, 7]}
    for turns, sequence in expected.items():
        read = await window(service, max_turns=turns)
        cut, end = (MAX_TURNS, sequence[1] if turns else None) if turns < 3 else (NONE, None)
        assert (sequences(read), read.cut, end_of_run(read)) == (sequence, cut, end)
    read = await window(service, max_turns=3, max_messages=6)
    assert (sequences(read), read.cut) == ([2, 3, 4, 5, 6, 7], NONE)
    read = await window(service, max_turns=3, max_messages=4)
    assert (sequences(read), read.cut, end_of_run(read)) == ([2, 6, 7], MAX_MESSAGES, 6)


async def test_the_summary_takes_its_part_of_a_response(service: Service) -> None:
    """With the run and the message of an append, a response with a summary stays under 3.5 MiB."""
    large = "x" * (1024 * 1024 - 200)
    await store(service, *(user(1, content=large) for _ in range(5)))
    await compact(service, 2, content=large)
    response = await service.stub.GetHistory(pb.GetHistoryRequest(session_id="s"))
    assert response.ByteSize() < 3_584 * 1024
    read = response.history
    assert (sequences(read), read.cut, end_of_run(read)) == ([2, 4, 5], RESPONSE_SIZE, 4)
    request = pb.AppendMessageRequest(
        session_id="s", message=user(1, content=large), history=hpb.HistoryOptions()
    )
    response = await service.stub.AppendMessage(request)
    assert response.ByteSize() < 3_584 * 1024
    assert sequences(response.history) == [2, 6]


async def test_the_window_of_an_append(service: Service) -> None:
    """The window of an append has the summary too."""
    await store(service, *(user(1) for _ in range(3)))
    compacted = await compact(service, 2)
    request = pb.AppendMessageRequest(session_id="s", message=user(1), history=hpb.HistoryOptions())
    response = await service.stub.AppendMessage(request)
    assert sequences(response.history) == [2, 3, 4]
    assert response.history.summary == compacted.summary
