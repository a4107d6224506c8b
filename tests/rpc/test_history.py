"""The window: its messages, the limit that cut it, and its totals of the other messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.errors import fails
from support.talk import (
    MAX_MESSAGES,
    NONE,
    TOKEN_BUDGET,
    assistant,
    end_of_run,
    pinned,
    sequences,
    store,
    user,
    window,
)

if TYPE_CHECKING:
    from support.service import Service


async def test_the_window_is_the_newest_messages_in_order(service: Service) -> None:
    """The run has the newest messages, oldest first, and every total is right."""
    await store(service, *(user(n) for n in range(1, 8)))
    read = await window(service, max_messages=3)
    assert sequences(read) == [5, 6, 7]
    assert (read.total_tokens, read.omitted_message_count, read.last_sequence) == (18, 4, 7)
    assert (read.cut, end_of_run(read)) == (MAX_MESSAGES, 5)


async def test_a_window_that_holds_everything_is_not_cut(service: Service) -> None:
    """A session that meets its limits exactly is not cut."""
    await store(service, user(4), user(6))
    for limits in ({}, {"max_messages": 2}, {"token_budget": 10}, {"max_messages": 2, "token_budget": 10}):
        read = await window(service, **limits)
        assert (sequences(read), read.cut, end_of_run(read)) == ([1, 2], NONE, None)
        assert read.omitted_message_count == 0


async def test_the_token_budget_is_filled_to_the_token(service: Service) -> None:
    """A message is in the run if and only if it and all newer ones fit the budget."""
    await store(service, user(4), user(2), user(3))
    fitting = {0: [], 2: [], 3: [3], 4: [3], 5: [2, 3], 8: [2, 3], 9: [1, 2, 3]}
    for budget, expected in fitting.items():
        read = await window(service, token_budget=budget)
        assert sequences(read) == expected
        assert read.cut == (NONE if len(expected) == 3 else TOKEN_BUDGET)
        assert read.omitted_message_count == 3 - len(expected)


async def test_the_run_has_no_holes(service: Service) -> None:
    """A message that does not fit ends the run, even if an older one would fit."""
    await store(service, user(1), user(50), user(1))
    read = await window(service, token_budget=10)
    assert (sequences(read), read.cut, end_of_run(read)) == ([3], TOKEN_BUDGET, 3)


async def test_a_newest_message_over_the_whole_budget_leaves_an_empty_window(service: Service) -> None:
    """A newest message over the budget gives an empty window, which names the limit and no next page."""
    await store(service, user(1), user(100))
    read = await window(service, token_budget=99)
    assert (sequences(read), read.total_tokens, read.omitted_message_count) == ([], 0, 2)
    assert (read.cut, end_of_run(read), read.last_sequence) == (TOKEN_BUDGET, None, 2)


@pytest.mark.parametrize(
    ("limits", "cut"),
    [
        ({"max_messages": 0}, MAX_MESSAGES),
        ({"token_budget": 0}, TOKEN_BUDGET),
        ({"max_messages": 0, "token_budget": 0}, MAX_MESSAGES),
    ],
)
async def test_zero_means_zero(service: Service, limits: dict[str, int], cut: hpb.HistoryCut) -> None:
    """A limit of zero is a limit, not a missing one; it applies to pinned messages too."""
    await store(service, pinned(1), user(1))
    read = await window(service, **limits)
    assert (sequences(read), read.cut, end_of_run(read)) == ([], cut, None)
    assert read.omitted_message_count == 2


async def test_messages_of_no_tokens_fit_a_budget_of_zero(service: Service) -> None:
    """Messages of zero tokens fit a budget of zero, pinned or not, until the first message with tokens."""
    await store(service, pinned(0), user(1), user(0), assistant(content=""))
    read = await window(service, token_budget=0)
    assert (sequences(read), read.cut, end_of_run(read)) == ([1, 3, 4], TOKEN_BUDGET, 3)


async def test_the_first_of_several_limits_is_named(service: Service) -> None:
    """If both limits end the run at the same message, the cut is MAX_MESSAGES."""
    await store(service, user(5), user(5), user(5))
    assert (await window(service, max_messages=2, token_budget=10)).cut == MAX_MESSAGES
    assert (await window(service, max_messages=2, token_budget=9)).cut == TOKEN_BUDGET
    assert (await window(service, max_messages=1, token_budget=10)).cut == MAX_MESSAGES


_LIMITS = ["max_messages", "token_budget", "max_turns", "step_tokens", "step_messages"]


@pytest.mark.parametrize("field", [*_LIMITS, "before_sequence"])
async def test_a_negative_limit_is_refused(service: Service, field: str) -> None:
    """A negative limit is INVALID_ARGUMENT with the field's path."""
    await store(service, user(1))
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await window(service, **{field: -1})
    assert list(failure.violations) == [field]


@pytest.mark.parametrize("field", _LIMITS)
async def test_a_negative_limit_in_an_append_stores_nothing(service: Service, field: str) -> None:
    """The limits of the append's window are checked before the message is stored."""
    await store(service, user(1))
    negative: dict[str, Any] = {field: -1}
    options = hpb.HistoryOptions(**negative)
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await service.stub.AppendMessage(
            pb.AppendMessageRequest(session_id="s", message=user(1), history=options)
        )
    assert list(failure.violations) == [f"history.{field}"]
    assert (await window(service)).last_sequence == 1


@pytest.mark.parametrize("value", [-1, 3, 100])
async def test_an_unknown_number_of_unanswered_calls_is_refused(service: Service, value: Any) -> None:
    """A number that the contract does not name is INVALID_ARGUMENT, wherever it stands."""
    await store(service, user(1))
    option: dict[str, Any] = {"unanswered_calls": value}
    settings: dict[str, Any] = {"history_settings": option}
    append = pb.AppendMessageRequest(session_id="s", message=user(1), history=option)
    create = pb.CreateSessionRequest(session_id="t", session=settings)
    refused = {
        "unanswered_calls": service.stub.GetHistory(pb.GetHistoryRequest(session_id="s", **option)),
        "history.unanswered_calls": service.stub.AppendMessage(append),
        "session.history_settings.unanswered_calls": service.stub.CreateSession(create),
    }
    for path, answer in refused.items():
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await answer
        assert list(failure.violations) == [path]


async def test_the_window_of_a_session_without_messages_is_empty(service: Service) -> None:
    """An empty session has an empty window that nothing cut."""
    await service.stub.CreateSession(pb.CreateSessionRequest(session_id="s"))
    assert await window(service) == hpb.History(cut=NONE)


async def test_a_window_needs_a_session_of_the_caller(service: Service) -> None:
    """A missing session and another user's session are the same NOT_FOUND."""
    await store(service, user(1), user_id="ann")
    assert sequences(await window(service, user_id="ann")) == [1]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await window(service, user_id="bob")
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await service.stub.GetHistory(pb.GetHistoryRequest(session_id="missing"))


async def test_before_sequence_bounds_the_candidates(service: Service) -> None:
    """Messages from before_sequence on are not in the window, pinned or not, and count as omitted."""
    await store(service, user(1), pinned(1), user(1), pinned(1), user(1))
    for before, expected in {0: [], 1: [], 2: [1], 3: [1, 2], 4: [1, 2, 3], 5: [1, 2, 3, 4]}.items():
        read = await window(service, before_sequence=before)
        assert (sequences(read), read.cut, end_of_run(read)) == (expected, NONE, None)
        assert (read.omitted_message_count, read.last_sequence) == (5 - len(expected), 5)
    assert sequences(await window(service, before_sequence=2**63 - 1)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "limits",
    [{"max_messages": 4}, {"token_budget": 9}, {"max_messages": 3, "token_budget": 12}],
)
async def test_paging_back_covers_the_whole_session(service: Service, limits: dict[str, int]) -> None:
    """Windows chained by next_before_sequence return each message once; the last one is not cut."""
    await store(service, *(user(1 + n % 4) for n in range(50)))
    seen: list[int] = []
    read = await window(service, **limits)
    while True:
        seen = sequences(read) + seen
        if end_of_run(read) is None:
            break
        assert end_of_run(read) == sequences(read)[0]
        read = await window(service, before_sequence=end_of_run(read), **limits)
    assert seen == list(range(1, 51))
    assert read.cut == NONE
