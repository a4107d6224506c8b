"""A window never has a tool result without the message that made the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import message_pb2 as mpb
from support.talk import (
    MAX_MESSAGES,
    NONE,
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


async def test_a_result_whose_call_was_cut_off_is_dropped(service: Service) -> None:
    """A dropped result's room is not filled again, and paging goes on from the run before the drop."""
    await store(service, user(1), calls("a"), result("a"), assistant(1), user(1))
    read = await window(service, max_messages=3)
    assert (sequences(read), read.total_tokens, read.omitted_message_count) == ([4, 5], 2, 3)
    assert (read.cut, end_of_run(read)) == (MAX_MESSAGES, 3)
    older = await window(service, max_messages=3, before_sequence=3)
    assert (sequences(older), older.cut) == ([1, 2], NONE)


async def test_a_result_stays_with_its_call(service: Service) -> None:
    """A result stays in the window if its call is in the run."""
    await store(service, user(1), calls("a"), result("a"), assistant(1), user(1))
    assert sequences(await window(service, max_messages=4)) == [2, 3, 4, 5]


async def test_a_run_that_starts_with_several_results_loses_them_all(service: Service) -> None:
    """All results before the run's first other message are dropped."""
    await store(service, calls("a", "b", "c"), result("a"), result("b"), result("c"), assistant(1))
    assert sequences(await window(service, max_messages=5)) == [1, 2, 3, 4, 5]
    for most in (4, 3, 2):
        read = await window(service, max_messages=most)
        assert (sequences(read), end_of_run(read)) == ([5], 6 - most)


async def test_a_run_of_results_alone_gives_an_empty_window_that_pages_on(service: Service) -> None:
    """The run was not empty, so next_before_sequence leads to the call."""
    await store(service, calls("a", "b"), result("a"), result("b"))
    read = await window(service, max_messages=2)
    assert (sequences(read), read.total_tokens, read.omitted_message_count) == ([], 0, 3)
    assert (read.cut, end_of_run(read)) == (MAX_MESSAGES, 2)


async def test_several_results_of_one_message(service: Service) -> None:
    """Every result that follows a message with calls keeps its call, however many results there are."""
    await store(service, user(1), calls("a", "b"), result("a"), result("b"), result("b"), user(1))
    assert sequences(await window(service, max_messages=5)) == [2, 3, 4, 5, 6]


async def test_calls_may_be_the_users(service: Service) -> None:
    """The role of the message with the calls does not matter."""
    await store(service, assistant(1), calls("a", role=mpb.ROLE_USER), result("a"), assistant(1))
    assert sequences(await window(service)) == [1, 2, 3, 4]
    assert sequences(await window(service, max_messages=3)) == [2, 3, 4]
    assert sequences(await window(service, max_messages=2)) == [4]


async def test_results_pair_by_order_and_not_by_id(service: Service) -> None:
    """Order pairs results and calls: ids that repeat or match no call change nothing."""
    await store(service, calls("a"), result("a"), calls("a"), result("a"), calls("b"), result("x"), user(1))
    assert sequences(await window(service, max_messages=5)) == [3, 4, 5, 6, 7]
    assert sequences(await window(service, max_messages=4)) == [5, 6, 7]
    assert sequences(await window(service, max_messages=3)) == [5, 6, 7]
    assert sequences(await window(service, max_messages=2)) == [7]


async def test_a_result_after_a_plain_message_is_dropped(service: Service) -> None:
    """The nearest earlier non-TOOL message must have calls; one further back does not count."""
    await store(service, calls("a"), user(1), result("a"), result("a"), user(1))
    read = await window(service)
    assert (sequences(read), read.omitted_message_count) == ([1, 2, 5], 2)
    assert (read.cut, end_of_run(read)) == (NONE, None)


async def test_a_result_that_opens_a_session_is_dropped(service: Service) -> None:
    """A result at the beginning of a session has no call."""
    await store(service, result("a"), user(1))
    read = await window(service)
    assert (sequences(read), read.omitted_message_count, read.cut) == ([2], 1, NONE)


async def test_a_pinned_message_between_call_and_result(service: Service) -> None:
    """A pinned message between call and result is not of the run, so the result keeps its call."""
    await store(service, calls("a"), pinned(1), result("a"), pinned(50), result("a"), user(1))
    assert sequences(await window(service)) == [1, 2, 3, 4, 5, 6]
    assert sequences(await window(service, include_pinned=False)) == [1, 3, 5, 6]
    assert sequences(await window(service, token_budget=20)) == [1, 2, 3, 5, 6]


async def test_a_pinned_message_is_not_the_call_of_a_result(service: Service) -> None:
    """A pinned message does not count as the call of a result after a plain message."""
    await store(service, user(1), pinned(1), result("a"), user(1))
    assert sequences(await window(service)) == [1, 2, 4]


async def test_the_freed_room_is_not_filled_within_a_token_budget(service: Service) -> None:
    """The tokens of dropped results are not given to older messages."""
    await store(service, user(1), calls("a", tokens=100), result("a", tokens=50), user(1))
    read = await window(service, token_budget=60)
    assert (sequences(read), read.total_tokens, end_of_run(read)) == ([4], 1, 3)


async def test_paging_back_reaches_every_message_but_the_parted_results(service: Service) -> None:
    """Paged runs join without a gap; only results that a page's end separates from their call are missing."""
    turn = [user(1), calls("a", "b"), result("a"), result("b"), assistant(1)]
    await store(service, *turn * 6)
    for most in range(1, 9):
        seen: list[int] = []
        before, starts = 31, []
        while True:
            read = await window(service, max_messages=most, before_sequence=before)
            seen += sequences(read)
            if end_of_run(read) is None:
                break
            starts.append(read.next_before_sequence)
            assert read.next_before_sequence == before - most
            before = read.next_before_sequence
        # In a turn of five messages the second has the calls; the third and the fourth are their results.
        parted = {n for start in starts if start % 5 in (3, 4) for n in range(start, start - start % 5 + 5)}
        assert sorted(seen) == sorted(set(range(1, 31)) - parted)
