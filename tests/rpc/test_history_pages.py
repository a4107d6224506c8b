"""Paging back: windows one before the other, by ``next_before_sequence``."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rpc_support import append

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.service import connect_thread
from support.strategies import tool_talks
from support.talk import MAX_MESSAGES, NONE, OMIT, end_of_run, pages, sequences, store, told, window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.v1 import history_pb2 as hpb
    from support.service import Service

QUICK = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("most", range(3, 9))
async def test_results_at_the_end_of_a_page(service: Service, most: int) -> None:
    """The page before resumes at the first message that was shown: no result is lost between two pages."""
    await store(service, *told("U, A[a], T a, A, U, A[b], T b, A"))
    read = [sequences(page) async for page in pages(service, max_messages=most)]
    assert sorted(itertools.chain(*read)) == list(range(1, 9))
    for call in (2, 6):
        assert any({call, call + 1} <= set(page) for page in read)


async def test_a_page_of_two_holds_a_call_and_its_result(service: Service) -> None:
    """A page has room for the call and its result, so they are in one page."""
    await store(service, *told("U, A[a], T a, A, U, A[b], T b, A"))
    read = [sequences(page) async for page in pages(service, max_messages=2)]
    assert read == [[8], [6, 7], [4, 5], [2, 3], [1]]


async def test_results_that_do_not_fit_a_page_with_their_call(service: Service) -> None:
    """A result that is too far from its call is in no page; ListMessages has it."""
    await store(service, *told("A[a b c], T a, T b, T c, U"))
    read = [sequences(page) async for page in pages(service, max_messages=3)]
    assert sorted(itertools.chain(*read)) == [1, 5]


async def test_a_page_of_results_alone(service: Service) -> None:
    """Results that fill a page without their calls are in no page, even one directly behind its call."""
    await store(service, *told("A[a], A[b], A[c], A[d], T d, T c, T b, T a"))
    read = [sequences(page) async for page in pages(service, max_messages=4)]
    assert read == [[], [1, 2, 3, 4]]


async def test_every_page_makes_progress(service: Service) -> None:
    """A page that shows nothing leads to the page before it."""
    await store(service, *told("U, A[a], T x, T x, T x, T x, T x, A"))
    read = [page async for page in pages(service, max_messages=2)]
    assert sorted(n for page in read for n in sequences(page)) == [1, 2, 8]
    assert (read[0].cut, read[-1].cut) == (MAX_MESSAGES, NONE)


async def test_pages_of_unanswered_calls_and_of_rows(service: Service) -> None:
    """What a page leaves out at its beginning is at the end of the page before."""
    await store(service, *told("U, A[a], U, R, A[b], T b, A, U"))
    read = [sequences(page) async for page in pages(service, max_messages=4, whole_responses=True)]
    assert read == [[7, 8], [3, 4, 5, 6], [1, 2]]
    read = [sequences(page) async for page in pages(service, max_messages=4, unanswered_calls=OMIT)]
    assert read == [[5, 6, 7, 8], [1, 3, 4]]


async def test_pages_in_steps(service: Service) -> None:
    """With steps the pages are shorter, and cover the whole session as well."""
    await append(service, "s", *told(", ".join(["U, A[a], T a, A"] * 10)), new_session={})
    for limits in ({"max_messages": 7, "step_messages": 3}, {"token_budget": 7, "step_tokens": 3}):
        read = [sequences(page) async for page in pages(service, **limits)]
        assert sorted(itertools.chain(*read)) == list(range(1, 41))
        assert all(page[0] % 4 != 3 for page in read)


async def test_the_last_page_ends_the_series(service: Service) -> None:
    """The window that reaches back to the first message has no next page, even if it leaves that one out."""
    await store(service, *told("T x, U"))
    read = await window(service)
    assert (sequences(read), read.cut, end_of_run(read)) == ([2], NONE, None)


_LIMITS = st.fixed_dictionaries(
    {"max_messages": st.integers(1, 8)},
    optional={
        "step_messages": st.integers(1, 8),
        "token_budget": st.integers(5, 30),
        "step_tokens": st.integers(1, 20),
    },
)


async def test_paging_back_through_random_talks(service: Service) -> None:
    """Every message but some results is in one page; results behind their call are with it if they fit."""
    numbers = itertools.count()

    def run() -> None:
        """Call in a thread with a channel of its own, because Hypothesis knows no async."""
        with connect_thread(service.address) as channel:
            stub: Any = pb_grpc.SessionHistoryServiceStub(channel)

            @QUICK
            @given(talks=st.lists(tool_talks(max_size=20), min_size=1, max_size=2), limits=_LIMITS)
            def page_back(talks: list[list[mpb.Message]], limits: dict[str, int]) -> None:
                talk = [message for part in talks for message in part]
                for message in talk:
                    message.token_count %= 6  # each fits the budget
                name = f"s{next(numbers)}"
                stub.AppendMessages(
                    pb.AppendMessagesRequest(session_id=name, messages=talk, new_session={}, user_id="ann")
                )
                _check_pages([*_pages(stub, name, limits)], talk, limits)

            page_back()

    await asyncio.to_thread(run)


def _pages(stub: Any, name: str, limits: dict[str, int]) -> Iterator[hpb.History]:
    request = pb.GetHistoryRequest(session_id=name, include_pinned=False, **limits)
    while True:
        page = stub.GetHistory(request).history
        yield page
        end = end_of_run(page)
        if end is None:
            return
        assert not request.HasField("before_sequence") or end < request.before_sequence
        request.before_sequence = end


def _check_pages(read: list[hpb.History], talk: list[mpb.Message], limits: dict[str, int]) -> None:
    shown = [n for page in read for n in sequences(page)]
    assert len(set(shown)) == len(shown)
    unpinned = [(n, message) for n, message in enumerate(talk, start=1) if not message.pinned]
    assert {n for n, message in unpinned if message.role != mpb.ROLE_TOOL} <= set(shown)
    for place, (_, message) in enumerate(unpinned):
        row = [unpinned[place], *itertools.takewhile(_is_result, unpinned[place + 1 :])]
        ids = {"", *(call.id for call in message.tool_calls)}
        own = {n for n, other in row if other is message or other.tool_call_id in ids}
        calls = message.tool_calls and not any(other.tool_calls for _, other in row[1:])
        if calls and message.role != mpb.ROLE_TOOL and _fits([other for _, other in row], limits):
            assert any(own <= set(sequences(page)) for page in read)


def _is_result(placed: tuple[int, mpb.Message]) -> bool:
    return placed[1].role == mpb.ROLE_TOOL


def _fits(messages: list[mpb.Message], limits: dict[str, int]) -> bool:
    tokens = sum(message.token_count for message in messages)
    return len(messages) <= limits["max_messages"] and tokens <= limits.get("token_budget", tokens)
