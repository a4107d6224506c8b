"""A window never has a tool result without its call, and shows every result whose call it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import (
    MAX_MESSAGES,
    NONE,
    TOKEN_BUDGET,
    calls,
    compact,
    end_of_run,
    result,
    sequences,
    store,
    told,
    user,
    window,
)

if TYPE_CHECKING:
    from typing import Any

    from support.service import Service


@pytest.mark.parametrize("limits", [{"max_messages": 3}, {"token_budget": 3}])
async def test_parallel_calls_in_messages_of_their_own(service: Service, limits: dict[str, int]) -> None:
    """If the limits cut off one of two parallel calls, its result is left out, and the other one's stays."""
    await store(service, *told("U, A[a], A[b], T a, T b"))
    read = await window(service, **limits)
    assert (sequences(read), read.total_tokens, read.omitted_message_count) == ([3, 5], 2, 3)
    cut = MAX_MESSAGES if "max_messages" in limits else TOKEN_BUDGET
    assert (read.cut, end_of_run(read)) == (cut, 3)


async def test_parallel_calls_of_which_a_summary_covers_one(service: Service) -> None:
    """The result of a covered call is left out, and the result of the call behind the summary stays."""
    await store(service, *told("U, A[a], A[b], T a, T b"))
    await compact(service, 2)
    read = await window(service)
    assert (sequences(read), read.cut, read.omitted_message_count) == ([2, 3, 5], NONE, 3)


async def test_a_result_that_is_appended_behind_a_users_message(service: Service) -> None:
    """A user may write while a tool runs: the window of the append shows the result that is appended."""
    await store(service, *told("U, A[a], U"))
    request = pb.AppendMessageRequest(
        session_id="s", message=result("a"), history=hpb.HistoryOptions(max_messages=100)
    )
    read = (await service.stub.AppendMessage(request)).history
    assert (sequences(read), read.cut, read.omitted_message_count) == ([1, 2, 3, 4], NONE, 0)


@pytest.mark.parametrize("between", ["R", "A", "S", "U", "A[b]", "P", "R, A, U", "T x, U"])
async def test_what_stands_between_a_call_and_its_result_does_not_matter(
    service: Service, between: str
) -> None:
    """A result stays if its call is anywhere before it in the run."""
    talk = told(f"A[a], {between}, T a")
    await store(service, *talk)
    expected = [n for n, word in enumerate(f"A[a], {between}, T a".split(", "), start=1) if word != "T x"]
    assert sequences(await window(service)) == expected


@pytest.mark.parametrize("parallel", ["A[a b]", "A[a], A[b]", "A[a], R, A[b]"])
async def test_results_in_any_order(service: Service, parallel: str) -> None:
    """Results stay in whatever order they come."""
    await store(service, *told(f"U, {parallel}, T b, T a"))
    assert len((await window(service)).messages) == 4 + parallel.count(",")


async def test_a_pending_result_and_the_final_one(service: Service) -> None:
    """A long-running tool sends a first result, and later the final one: both stay with the call."""
    await store(service, *told("A[a], T a, U, T a"))
    assert sequences(await window(service)) == [1, 2, 3, 4]
    assert sequences(await window(service, max_messages=3)) == [3]


async def test_several_results_of_one_message(service: Service) -> None:
    """Every result that names a call of a message stays with it, however many there are."""
    await store(service, *told("U, A[a b], T a, T b, T b, U"))
    assert sequences(await window(service, max_messages=5)) == [2, 3, 4, 5, 6]


async def test_a_result_with_an_id_pairs_by_its_id_only(service: Service) -> None:
    """A result whose id no call has is left out, also behind a call with another id or without one."""
    await store(service, *told("A[a], T x, A[.], T x, A[a .], T a, T x"))
    assert sequences(await window(service)) == [1, 3, 5, 6]


async def test_a_result_without_an_id_belongs_to_the_nearest_message_with_calls(service: Service) -> None:
    """A result without an id stays if any earlier message of the run has calls, with ids or without."""
    await store(service, *told("T, A[a], U, T, T, A[.], R, T"))
    assert sequences(await window(service)) == [2, 3, 4, 5, 6, 7, 8]
    assert sequences(await window(service, max_messages=5)) == [6, 7, 8]
    assert sequences(await window(service, max_messages=2)) == [7]


async def test_an_id_that_is_used_again(service: Service) -> None:
    """The messages of the run alone decide: a result stays if an earlier call of the run has its id."""
    await store(service, *told("A[a], T a, A[a], T a, U"))
    kept = {5: [1, 2, 3, 4, 5], 4: [3, 4, 5], 3: [3, 4, 5], 2: [5], 1: [5]}
    for most, expected in kept.items():
        assert sequences(await window(service, max_messages=most)) == expected


async def test_two_open_calls_of_one_id(service: Service) -> None:
    """A second result of an id stays beside the call that the run still has."""
    await store(service, *told("A[a], A[a], T a, T a, U"))
    assert sequences(await window(service)) == [1, 2, 3, 4, 5]
    assert sequences(await window(service, max_messages=4)) == [2, 3, 4, 5]


async def test_calls_may_be_the_users(service: Service) -> None:
    """The role of the message with the calls does not matter."""
    await store(service, *told("A, U[a], T a, A"))
    assert sequences(await window(service)) == [1, 2, 3, 4]
    assert sequences(await window(service, max_messages=3)) == [2, 3, 4]
    assert sequences(await window(service, max_messages=2)) == [4]


async def test_a_result_may_carry_calls(service: Service) -> None:
    """A result with calls of its own is a call for later results, if it is in the window itself."""
    await store(service, *told("A[a], T a[b], T b, T, U"))
    assert sequences(await window(service)) == [1, 2, 3, 4, 5]
    assert sequences(await window(service, max_messages=4)) == [5]


async def test_a_result_that_opens_a_session_is_left_out(service: Service) -> None:
    """A result at the beginning of a session has no call, and a later call does not help it."""
    await store(service, *told("T a, U, A[a]"))
    read = await window(service)
    assert (sequences(read), read.omitted_message_count, read.cut) == ([2, 3], 1, NONE)


async def test_a_result_whose_call_was_cut_off_is_left_out(service: Service) -> None:
    """The space of a result is not filled again, and the window before ends with the result."""
    await store(service, *told("U, A[a], T a, A, U"))
    read = await window(service, max_messages=3)
    assert (sequences(read), read.total_tokens, read.omitted_message_count) == ([4, 5], 2, 3)
    assert (read.cut, end_of_run(read)) == (MAX_MESSAGES, 4)
    older = await window(service, max_messages=3, before_sequence=4)
    assert (sequences(older), older.cut) == ([1, 2, 3], NONE)


async def test_a_run_that_begins_with_several_results_loses_them_all(service: Service) -> None:
    """All results whose call is cut off are left out."""
    await store(service, *told("A[a b c], T a, T b, T c, A"))
    assert sequences(await window(service, max_messages=5)) == [1, 2, 3, 4, 5]
    for most in (4, 3, 2):
        read = await window(service, max_messages=most)
        assert (sequences(read), end_of_run(read)) == ([5], 5)


async def test_a_run_of_results_alone_gives_an_empty_window_that_pages_on(service: Service) -> None:
    """The run was not empty, so next_before_sequence leads to the call."""
    await store(service, calls("a", "b"), result("a"), result("b"))
    read = await window(service, max_messages=2)
    assert (sequences(read), read.total_tokens, read.omitted_message_count) == ([], 0, 3)
    assert (read.cut, end_of_run(read)) == (MAX_MESSAGES, 2)


async def test_pinned_messages_are_no_part_of_the_run(service: Service) -> None:
    """A pinned message between a call and its result changes nothing, in the window or not."""
    await store(service, *told("A[a], P, T a, P, T a, U"))
    assert sequences(await window(service)) == [1, 2, 3, 4, 5, 6]
    assert sequences(await window(service, include_pinned=False)) == [1, 3, 5, 6]
    assert sequences(await window(service, max_messages=3)) == [2, 4, 6]


async def test_the_freed_space_is_not_filled_within_a_token_budget(service: Service) -> None:
    """The tokens of results that are left out are not given to older messages."""
    await store(service, user(1), calls("a", tokens=100), result("a", tokens=50), user(1))
    read = await window(service, token_budget=60)
    assert (sequences(read), read.total_tokens, end_of_run(read)) == ([4], 1, 4)


@pytest.mark.parametrize("limits", [{"max_messages": 0}, {"max_messages": 1}, {"max_messages": 2}])
async def test_everything_is_in_the_list_of_messages(service: Service, limits: dict[str, Any]) -> None:
    """ListMessages returns what no window shows."""
    await store(service, *told("T x, A[a], T a"))
    assert 1 not in sequences(await window(service, **limits))
    listed = await service.stub.ListMessages(pb.ListMessagesRequest(session_id="s"))
    assert [message.sequence for message in listed.messages] == [1, 2, 3]
