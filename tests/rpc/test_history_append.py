"""The window that an append returns in the same call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails
from support.talk import MAX_MESSAGES, NONE, OMIT, calls, pinned, result, sequences, store, user, window

if TYPE_CHECKING:
    from sessionhistory.v1 import message_pb2 as mpb
    from support.service import Service


async def append(service: Service, message: mpb.Message, **limits: Any) -> pb.AppendMessageResponse:
    """Append a message and ask for the window."""
    request = pb.AppendMessageRequest(
        session_id="s", message=message, new_session=spb.SessionFields(), history=hpb.HistoryOptions(**limits)
    )
    response: pb.AppendMessageResponse = await service.stub.AppendMessage(request)
    return response


async def test_no_window_unless_asked_for(service: Service) -> None:
    """Without `history` the answer has no window; with empty options it has one of default limits."""
    request = pb.AppendMessageRequest(session_id="s", message=user(1), new_session=spb.SessionFields())
    assert not (await service.stub.AppendMessage(request)).HasField("history")
    assert sequences((await append(service, user(1))).history) == [1, 2]


async def test_the_window_holds_the_message_just_stored(service: Service) -> None:
    """The window holds the new message, as the answer returns it, even if the call creates the session."""
    response = await append(service, user(1, content="hello"))
    assert response.session_created
    assert list(response.history.messages) == [response.message]
    assert (response.history.last_sequence, response.history.cut) == (1, NONE)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_messages": 0},
        {"max_messages": 3},
        {"token_budget": 0},
        {"token_budget": 7},
        {"max_messages": 5, "token_budget": 100},
        {"include_pinned": False},
        {"include_pinned": True, "max_messages": 4},
        {"max_messages": 2_000_000_000, "token_budget": 2_000_000_000},
        {"max_messages": 7, "step_messages": 3, "unanswered_calls": OMIT},
        {"token_budget": 12, "step_tokens": 5, "whole_responses": True},
    ],
)
async def test_the_window_is_that_of_get_history(service: Service, limits: dict[str, Any]) -> None:
    """GetHistory with the same limits right after the append returns the same window."""
    talk = [pinned(2), user(1), calls("a"), result("a"), user(3), pinned(1), calls("b"), result("b")]
    for message in talk * 3:
        response = await append(service, message, **limits)
        assert response.history == await window(service, **limits)
        assert response.history.last_sequence == response.last_sequence == response.message.sequence


async def test_a_result_just_stored_without_a_call_is_not_in_the_window(service: Service) -> None:
    """A result without a call is stored, and the window leaves it out as every window does."""
    await store(service, user(1))
    response = await append(service, result("a"))
    assert (response.message.sequence, sequences(response.history)) == (2, [1])
    assert response.history.omitted_message_count == 1


async def test_a_message_over_the_budget_is_stored_and_not_in_the_window(service: Service) -> None:
    """A message over the budget is stored, although its window is too small for it."""
    response = await append(service, user(100), token_budget=99)
    assert (response.message_count, sequences(response.history)) == (1, [])


async def test_a_retry_returns_the_present_window(service: Service) -> None:
    """A retry returns the message of the first attempt, and the present window."""
    first = await append(service, user(1, message_id="m"), max_messages=2)
    await store(service, user(2), user(3))
    again = await append(service, user(1, message_id="m"), max_messages=2)
    assert again.message == first.message
    assert (sequences(again.history), again.history.cut) == ([2, 3], MAX_MESSAGES)
    assert (again.last_sequence, again.message_count, again.session_created) == (3, 3, False)


async def test_a_refused_append_has_no_window(service: Service) -> None:
    """An append that conflicts fails and stores nothing, with or without a window."""
    await store(service, user(1))
    with fails("ABORTED", "SEQUENCE_MISMATCH"):
        await service.stub.AppendMessage(
            pb.AppendMessageRequest(
                session_id="s", message=user(1), expected_last_sequence=0, history=hpb.HistoryOptions()
            )
        )
    assert sequences(await window(service)) == [1]
