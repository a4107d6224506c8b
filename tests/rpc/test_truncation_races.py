"""Truncations beside appends and reads: each call sees one state, and the result is consistent."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, get, race, request, said, stored

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from sessionhistory.v1 import message_pb2 as mpb
    from support.service import Service

TOKENS = 3


def _numbered(number: int, **fields: Any) -> mpb.Message:
    return said(f"number {number}", message_id=f"m{number}", token_count=TOKENS, **fields)


def _append(number: int, **fields: Any) -> tuple[str, Any]:
    return "AppendMessage", request("AppendMessage", "s", message=_numbered(number), **fields)


def _truncate(keep: int, **fields: Any) -> tuple[str, Any]:
    return "TruncateMessages", request("TruncateMessages", "s", keep_through_sequence=keep, **fields)


def _replace(keep: int, *numbers: int, **fields: Any) -> tuple[str, Any]:
    batch = [_numbered(number) for number in numbers]
    fields = {"messages": batch, "keep_through_sequence": keep} | fields
    return "AppendMessages", request("AppendMessages", "s", **fields)


async def _begin(service: Service, count: int) -> None:
    batch = [_numbered(number) for number in range(1, count + 1)]
    await append(service, "s", *batch, new_session=spb.SessionFields())


async def _require_that_it_adds_up(service: Service) -> list[mpb.Message]:
    """Compare the counters and every window with the stored messages; return the messages."""
    messages, session = await stored(service), await get(service)
    assert session.message_count == len(messages)
    assert session.total_tokens == TOKENS * len(messages)
    for most in range(len(messages) + 1):
        asked = {"max_messages": 1_000, "token_budget": TOKENS * most + 1}
        history = (await call(service, "GetHistory", "s", **asked)).history
        assert history.messages == messages[len(messages) - most :]
    return messages


@pytest.mark.parametrize("round_", range(3))
async def test_truncations_among_appends(service: Service, stubs: list[Any], round_: int) -> None:
    """No sequence is used twice, and the session has the messages after the last truncation."""
    await _begin(service, 10)
    calls = [_append(number) for number in range(11, 71)]
    for place in (15 + round_, 40, 65):
        calls.insert(place, _truncate(5))
    answers = await race(stubs, calls)
    appended = [answer.message for answer in answers if isinstance(answer, pb.AppendMessageResponse)]
    truncated = [answer for answer in answers if isinstance(answer, pb.TruncateMessagesResponse)]
    assert (len(appended), len(truncated)) == (60, 3)
    assert sorted(message.sequence for message in appended) == list(range(11, 71))
    messages = await _require_that_it_adds_up(service)
    last = max(answer.last_sequence for answer in truncated)
    left = [message for message in appended if message.sequence > last]
    assert messages[5:] == sorted(left, key=lambda message: message.sequence)
    assert sum(answer.removed_message_count for answer in truncated) == 65 - len(left)


async def test_of_replacements_that_expect_the_same_one_gets_through(
    service: Service, stubs: list[Any]
) -> None:
    """Of concurrent edits of one message one succeeds; the others are refused."""
    await _begin(service, 4)
    calls = [_replace(3, 100 + n, 200 + n, expected_last_sequence=4) for n in range(30)]
    answers = await race(stubs, calls)
    assert answers.count("SEQUENCE_MISMATCH") == 29
    (done,) = (answer for answer in answers if answer != "SEQUENCE_MISMATCH")
    assert (await _require_that_it_adds_up(service))[3:] == list(done.messages)


async def test_replacements_come_one_after_the_other(service: Service, stubs: list[Any]) -> None:
    """Without an expectation every replacement succeeds, and the last one stays as a whole.

    Each gets sequences of its own.
    """
    calls = [_replace(0, 2 * n, 2 * n + 1, new_session=spb.SessionFields()) for n in range(30)]
    answers = await race(stubs, calls)
    assert sum(answer.session_created for answer in answers) == 1
    assert all(answer.message_count == 2 for answer in answers)
    given_out = [message.sequence for answer in answers for message in answer.messages]
    assert sorted(given_out) == list(range(1, 61))
    last = max(answers, key=lambda answer: answer.last_sequence)
    assert await _require_that_it_adds_up(service) == list(last.messages)


async def test_retries_of_a_replacement_race_it(service: Service, stubs: list[Any]) -> None:
    """Concurrent retries of a replacement have one effect, and every answer has the same messages."""
    await _begin(service, 6)
    answers = await race(stubs, [_replace(2, 7, 8, 9)] * 20)
    assert all(answer.messages == answers[0].messages for answer in answers)
    messages = await _require_that_it_adds_up(service)
    assert [message.sequence for message in messages] == [1, 2, 7, 8, 9]


async def test_windows_among_truncations(service: Service, stubs: list[Any]) -> None:
    """A window is a snapshot: its messages and the omitted ones add up to one moment's count."""
    await _begin(service, 20)
    window = ("GetHistory", request("GetHistory", "s", max_messages=1_000, token_budget=TOKENS * 8))
    rounds = ([_replace(20, *range(n, n + 12)), window, _truncate(20), window] for n in range(21, 200, 12))
    answers = await race(stubs, itertools.chain.from_iterable(rounds))
    windows = [answer.history for answer in answers if isinstance(answer, pb.GetHistoryResponse)]
    assert len(windows) == 30
    for history in windows:
        held = [message.sequence for message in history.messages]
        assert (len(held), history.total_tokens) == (8, TOKENS * 8)
        count = len(held) + history.omitted_message_count
        assert count in (20, 32)
        assert held[-1] == (20 if count == 20 else history.last_sequence)
        assert held == list(range(held[-1] - 7, held[-1] + 1))
    await _require_that_it_adds_up(service)
