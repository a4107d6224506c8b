"""Windows that begin with whole responses: ``whole_responses``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import (
    MAX_MESSAGES,
    MAX_TURNS,
    NONE,
    OMIT,
    compact,
    end_of_run,
    result,
    sequences,
    store,
    told,
    window,
)

if TYPE_CHECKING:
    from support.service import Service


async def test_a_call_without_its_reasoning(service: Service) -> None:
    """Reasoning models refuse a call without the reasoning before it: the rest of the response goes."""
    await store(service, *told("U, R, A[a], T a, A"))
    read = await window(service, max_messages=3)
    assert (sequences(read), end_of_run(read)) == ([3, 4, 5], 3)
    read = await window(service, max_messages=3, whole_responses=True)
    assert (sequences(read), read.cut, end_of_run(read)) == ([5], MAX_MESSAGES, 5)
    assert (read.total_tokens, read.omitted_message_count) == (1, 4)
    assert sequences(await window(service, max_messages=4, whole_responses=True)) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        pytest.param("U, A, A, A, U", 3, [5], id="the rest of the row goes"),
        pytest.param("U, A, A, A, U", 4, [2, 3, 4, 5], id="a row that begins with the run stays"),
        pytest.param("U, R, A[a], U, T a", 3, [4], id="with the results of its calls"),
        pytest.param("A, T x, A, A, U", 3, [3, 4, 5], id="a result ends a row"),
        pytest.param("A, S, A, U", 2, [3, 4], id="and so does any other role"),
        pytest.param("A, P, A, U", 2, [2, 4], id="a pinned message is no part of the run"),
        pytest.param("A, A, A", 3, [1, 2, 3], id="the session's first message begins a row"),
        pytest.param("U, A, A", 1, [], id="a row may be all of the run"),
        pytest.param("U, U, A, A, U", 4, [2, 3, 4, 5], id="a run that begins with another message"),
    ],
)
async def test_where_a_run_begins(service: Service, text: str, most: int, expected: list[int]) -> None:
    """The run does not begin inside a row of ASSISTANT messages."""
    await store(service, *told(text))
    read = await window(service, whole_responses=True, max_messages=most)
    assert sequences(read) == expected


async def test_a_row_of_which_a_summary_covers_a_part(service: Service) -> None:
    """The rest of a row that the summary covers in part is left out too; the window is not cut."""
    await store(service, *told("U, R, A[a], T a, A, U"))
    await compact(service, 2)
    read = await window(service, whole_responses=True)
    assert (sequences(read), read.cut, end_of_run(read)) == ([2, 5, 6], NONE, None)
    assert sequences(await window(service)) == [2, 3, 4, 5, 6]


async def test_a_run_that_is_the_rest_of_a_row(service: Service) -> None:
    """The window is empty; the window before ends where the run began, and shows the row's beginning."""
    await store(service, *told("U, A, A, A"))
    read = await window(service, whole_responses=True, max_messages=2)
    assert (sequences(read), read.cut, end_of_run(read)) == ([], MAX_MESSAGES, 3)
    read = await window(service, whole_responses=True, before_sequence=3)
    assert (sequences(read), read.cut) == ([1, 2], NONE)


async def test_with_turns(service: Service) -> None:
    """A turn that begins inside a row loses the rest of the row."""
    talk = told("U, A, A, T x, U")
    for message, turn_id in zip(talk, ("1", "1", "2", "2", "2"), strict=True):
        message.turn_id = turn_id
    await store(service, *talk)
    read = await window(service, whole_responses=True, max_turns=1)
    assert (sequences(read), read.cut, end_of_run(read)) == ([5], MAX_TURNS, 5)


async def test_with_unanswered_calls(service: Service) -> None:
    """Rows are left out first: their calls then answer no result, and the results go."""
    await store(service, *told("U, R, A[a], A[a], U, T a, T a"))
    read = await window(service, whole_responses=True, unanswered_calls=OMIT, max_messages=5)
    assert sequences(read) == [5]
    read = await window(service, whole_responses=True, unanswered_calls=OMIT)
    assert sequences(read) == [1, 2, 3, 4, 5, 6, 7]


async def test_the_window_of_an_append(service: Service) -> None:
    """The window of an append has the option too."""
    await store(service, *told("U, R, A[a]"))
    request = pb.AppendMessageRequest(
        session_id="s",
        message=result("a"),
        history=hpb.HistoryOptions(max_messages=2, whole_responses=True),
    )
    assert sequences((await service.stub.AppendMessage(request)).history) == []
