"""Forks and resets beside appends, truncations and each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, create, get, race, request, said, stored

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from support.service import Service

TOKENS = 3


def _append(number: int) -> tuple[str, Any]:
    message = said(f"number {number}", message_id=f"m{number}", token_count=TOKENS)
    return "AppendMessage", request("AppendMessage", "s", message=message)


def _reset(new_id: str = "", **fields: Any) -> tuple[str, Any]:
    return "ResetSession", request("ResetSession", "s", new_session_id=new_id, **fields)


async def _require_that_it_adds_up(service: Service, forked: spb.Session) -> list[int]:
    """Compare a fork's counters and windows with its messages; return the messages' sequences."""
    messages = await stored(service, forked.session_id)
    sequences = [message.sequence for message in messages]
    assert forked.message_count == len(messages)
    assert forked.total_tokens == TOKENS * len(messages)
    assert forked.last_sequence == (sequences[-1] if messages else 0)
    for most in {0, 1, len(messages) // 2, len(messages) - 1, len(messages)} - {-1}:
        asked = {"max_messages": 1_000, "token_budget": TOKENS * most + 1}
        history = (await call(service, "GetHistory", forked.session_id, **asked)).history
        assert history.messages == messages[len(messages) - most :]
    return sequences


async def test_forks_among_appends(service: Service, stubs: list[Any]) -> None:
    """Each fork is a beginning of the session without a gap, in spite of concurrent appends."""
    await create(service)
    calls = [_append(number) for number in range(100)]
    for place in range(5, 130, 5):
        calls.insert(place, ("ForkSession", request("ForkSession", "s")))
    answers = await race(stubs, calls)
    messages = await stored(service)
    assert len(messages) == 100
    forks = [answer.session for answer in answers if isinstance(answer, pb.ForkSessionResponse)]
    assert len(forks) == 25
    for forked in forks:
        sequences = await _require_that_it_adds_up(service, forked)
        assert sequences == list(range(1, len(sequences) + 1))
        assert forked.parent.through_sequence == len(sequences)
        assert await stored(service, forked.session_id) == messages[: len(sequences)]


async def test_forks_among_truncations(service: Service, stubs: list[Any]) -> None:
    """A fork has all messages of one moment, before a truncation or after it."""
    await create(service)
    calls = [_append(number) for number in range(60)]
    for place in range(5, 100, 6):
        calls.insert(place, ("ForkSession", request("ForkSession", "s")))
        calls.insert(
            place + 3, ("TruncateMessages", request("TruncateMessages", "s", keep_through_sequence=3))
        )
    answers = await race(stubs, calls)
    for answer in answers:
        if isinstance(answer, pb.ForkSessionResponse):
            sequences = await _require_that_it_adds_up(service, answer.session)
            tail = sequences[3:]
            assert sequences[:3] == [1, 2, 3][: len(sequences)]
            assert tail == list(range(tail[0], tail[-1] + 1)) if tail else True
            assert answer.session.parent.through_sequence >= answer.session.last_sequence


async def test_of_forks_with_one_id_one_is_made(service: Service, stubs: list[Any]) -> None:
    """Of concurrent forks with one id one is made.

    The others are refused, or get the same fork with allow_existing.
    """
    await append(service, "s", *[said()] * 20, new_session=spb.SessionFields())
    for allow_existing in (False, True):
        new_id = f"fork-{allow_existing}"
        asked = request("ForkSession", "s", new_session_id=new_id, allow_existing=allow_existing)
        answers = await race(stubs, [("ForkSession", asked)] * 20)
        made = await get(service, new_id)
        assert made.message_count == len(await stored(service, new_id)) == 20
        got = [answer for answer in answers if answer != "SESSION_EXISTS"]
        assert len(got) == (20 if allow_existing else 1)
        assert all(answer.session == made for answer in got)
        assert sum(answer.created for answer in got) == 1


@pytest.mark.parametrize("keep_messages", [False, True])
async def test_of_resets_one_wins(service: Service, stubs: list[Any], *, keep_messages: bool) -> None:
    """Of concurrent resets one succeeds; the others find an inactive session and make none."""
    await append(service, "s", *[said()] * 5, new_session=spb.SessionFields())
    answers = await race(stubs, [_reset(keep_messages=keep_messages) for _ in range(20)])
    assert answers.count("SESSION_NOT_ACTIVE") == 19
    (won,) = (answer for answer in answers if answer != "SESSION_NOT_ACTIVE")
    listed = (await call(service, "ListSessions", "")).sessions
    assert {session.session_id for session in listed} == {"s", won.session.session_id}
    assert won.session.message_count == (5 if keep_messages else 0)


async def test_retries_of_a_reset_race_it(service: Service, stubs: list[Any]) -> None:
    """Concurrent retries of a reset have one effect, and every answer is the same."""
    await append(service, "s", *[said()] * 5, new_session=spb.SessionFields())
    answers = await race(stubs, [_reset("new", keep_messages=True) for _ in range(20)])
    assert all(answer == answers[0] for answer in answers)
    assert len(await stored(service, "new")) == 5


async def test_a_reset_among_appends(service: Service, stubs: list[Any]) -> None:
    """Each acknowledged append is in both sessions; later appends are refused."""
    await create(service)
    calls = [_append(number) for number in range(80)]
    calls.insert(40, _reset("new", keep_messages=True))
    answers = await race(stubs, calls)
    kept = [answer.message for answer in answers if isinstance(answer, pb.AppendMessageResponse)]
    assert len(kept) + answers.count("SESSION_NOT_ACTIVE") == 80
    kept.sort(key=lambda message: message.sequence)
    assert await stored(service) == kept
    assert await stored(service, "new") == kept
    await _require_that_it_adds_up(service, await get(service, "new"))
