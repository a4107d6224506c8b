"""Windows without the messages of which a call has no result: ``unanswered_calls``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rpc_support import create
from stream_support import INTERRUPTED, header, stream, tool_call

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import (
    KEEP,
    MAX_MESSAGES,
    NONE,
    OMIT,
    assistant,
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
    from support.service import Service


async def test_a_call_without_a_result_stays_by_default(service: Service) -> None:
    """A window keeps a call that nothing answers, unless it is asked to omit it."""
    await store(service, *told("U, A[a], U"))
    for limits in ({}, {"unanswered_calls": KEEP}, {"unanswered_calls": 0}):
        assert sequences(await window(service, **limits)) == [1, 2, 3]
    read = await window(service, unanswered_calls=OMIT)
    assert (sequences(read), read.total_tokens, read.omitted_message_count) == ([1, 3], 2, 1)
    assert (read.cut, end_of_run(read)) == (NONE, None)


async def test_a_stream_that_breaks_inside_a_calls_arguments(service: Service) -> None:
    """The interrupted message has half of a JSON text and no result: OMIT leaves it out."""
    await create(service)
    await store(service, user(1))
    pieces = tool_call(0, id="a", name="look_up", arguments='{"city": "Zür')
    broken = await stream(service, header(), pieces)
    assert broken.message.status == INTERRUPTED
    await store(service, user(1))
    assert sequences(await window(service)) == [1, 2, 3]
    assert sequences(await window(service, unanswered_calls=OMIT)) == [1, 3]


async def test_a_call_that_is_still_running_is_left_out_too(service: Service) -> None:
    """The newest call has no result yet. The window shows it when the result is there."""
    await store(service, *told("U, A[a]"))
    assert sequences(await window(service, unanswered_calls=OMIT)) == [1]
    request = pb.AppendMessageRequest(
        session_id="s", message=result("a"), history=hpb.HistoryOptions(unanswered_calls=OMIT)
    )
    assert sequences((await service.stub.AppendMessage(request)).history) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("A[a b], T a, U", [3], id="the results of its other calls go with it"),
        pytest.param("A[a b], T b, T a", [1, 2, 3], id="all answered in another order"),
        pytest.param("A[a], A[b], T b, U", [2, 3, 4], id="parallel calls stand for themselves"),
        pytest.param("A[a], T a, U, T a", [1, 2, 3, 4], id="a second result stays beside the first"),
        pytest.param("A[a b], T a, T a, U", [4], id="two results of one call answer no other call"),
        pytest.param("A[a], A[a], T a, U", [2, 3, 4], id="a result answers the nearest open call"),
        pytest.param("A[a], A[a], T a, T a", [1, 2, 3, 4], id="then the one before"),
        pytest.param("A[a], T a, A[a], U", [1, 2, 4], id="an id that is used again needs another result"),
        pytest.param("A[a a], T a, U", [3], id="so do two calls of one message"),
        pytest.param("A[a a], T a, T a, U", [1, 2, 3, 4], id="which two results answer"),
        pytest.param("A[a b], T, T, U", [1, 2, 3, 4], id="results without an id answer one call each"),
        pytest.param("A[a b], T, U", [3], id="of the nearest message with calls"),
        pytest.param("A[a], A[b], T, T", [2, 3, 4], id="and of no message before it"),
        pytest.param("A[a b], T b, T, U", [1, 2, 3, 4], id="the first that has no result"),
        pytest.param("A[. .], T, T, U", [1, 2, 3, 4], id="calls without an id"),
        pytest.param("A[.], T x, U", [3], id="need a result without an id"),
        pytest.param("U[a], A, U", [2, 3], id="a user's calls count as the model's"),
        pytest.param("A[a], T a[b], T b, U", [1, 2, 3, 4], id="results with calls that are answered"),
        pytest.param("A[a], T a[b], U", [3], id="a result with an open call answers nothing"),
        pytest.param("A[a], T a[b c], T b, U", [4], id="and its own results go with it"),
    ],
)
async def test_which_messages_go(service: Service, text: str, expected: list[int]) -> None:
    """A message goes if one of its calls has no result in the window, with the results of its calls."""
    await store(service, *told(text))
    assert sequences(await window(service, unanswered_calls=OMIT)) == expected


async def test_no_message_is_altered(service: Service) -> None:
    """What a window shows is what is stored: no call is taken out of a message."""
    await store(service, *told("U, A[a b], T a, A[c d], T d, T c, U"))
    everything = await window(service)
    read = await window(service, unanswered_calls=OMIT)
    assert list(read.messages) == [everything.messages[n] for n in (0, 3, 4, 5, 6)]


async def test_a_result_whose_call_is_cut_off_does_not_count(service: Service) -> None:
    """The run alone decides: a call whose results are all in the run stays, whatever came before."""
    await store(service, *told("A[a], T a, A[a], T a, U"))
    for most, expected in {5: [1, 2, 3, 4, 5], 4: [3, 4, 5], 3: [3, 4, 5], 2: [5]}.items():
        read = await window(service, unanswered_calls=OMIT, max_messages=most)
        assert sequences(read) == expected


async def test_the_window_before_ends_at_the_first_message_that_is_shown(service: Service) -> None:
    """The next page begins with what this one left out. The freed space is not filled again."""
    await store(service, *told("U, U, A[a], U, U"))
    read = await window(service, unanswered_calls=OMIT, max_messages=3)
    assert (sequences(read), read.cut, end_of_run(read)) == ([4, 5], MAX_MESSAGES, 4)
    read = await window(service, unanswered_calls=OMIT, max_messages=3, before_sequence=4)
    assert (sequences(read), read.cut, end_of_run(read)) == ([1, 2], NONE, None)


async def test_a_window_before_a_result_has_no_result_of_the_call(service: Service) -> None:
    """In a window that ends before the result, the call is unanswered."""
    await store(service, *told("U, A[a], T a"))
    assert sequences(await window(service, unanswered_calls=OMIT, before_sequence=3)) == [1]


async def test_a_run_of_unanswered_calls_alone(service: Service) -> None:
    """The window is empty; the window before ends where the run began."""
    await store(service, *told("U, A[a], A[b]"))
    read = await window(service, unanswered_calls=OMIT, max_messages=2)
    assert (sequences(read), read.cut, end_of_run(read)) == ([], MAX_MESSAGES, 2)


async def test_behind_a_summary(service: Service) -> None:
    """The summary stays, and calls behind it are omitted as in any run."""
    await store(service, assistant(1), calls("a"), result("a"), calls("b"), user(1))
    await compact(service, 2)
    assert sequences(await window(service, unanswered_calls=OMIT)) == [2, 5]
