"""Concurrent callers: no acknowledged write is lost, doubled or reordered, and no call is INTERNAL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import call, create, get, race, request, said, stored

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from support.service import Service


def _append(number: int, **fields: Any) -> tuple[str, Any]:
    message = said(f"number {number}", message_id=f"m{number}", token_count=number)
    return "AppendMessage", request("AppendMessage", "s", message=message, **fields)


def _making(method: str) -> Any:
    fields = {} if method == "CreateSession" else {"new_session": spb.SessionFields()}
    return request(method, "s", "u", **fields)


async def test_two_hundred_appends_get_two_hundred_places(service: Service, stubs: list[Any]) -> None:
    """Concurrent appends get sequences without a gap, times in order and right counters.

    Each message is stored once.
    """
    await create(service)
    answers = await race(stubs, [_append(number) for number in range(200)])
    assert sorted(answer.message.sequence for answer in answers) == list(range(1, 201))
    for answer in answers:
        assert answer.last_sequence == answer.message_count == answer.message.sequence
    messages = await stored(service)
    assert messages == sorted((answer.message for answer in answers), key=lambda m: m.sequence)
    assert {message.message_id for message in messages} == {f"m{number}" for number in range(200)}
    times = [message.create_time.ToMicroseconds() for message in messages]
    assert times == sorted(times)
    session = await get(service)
    counters = (session.last_sequence, session.message_count, session.total_tokens)
    assert counters == (200, 200, sum(range(200)))
    assert session.last_activity_time == messages[-1].create_time


async def test_batches_are_not_torn_apart(service: Service, stubs: list[Any]) -> None:
    """The messages of each concurrent batch are consecutive and in order."""
    batches = [[said(f"{number}-{place}") for place in range(5)] for number in range(40)]
    new_session = spb.SessionFields()
    answers = await race(
        stubs,
        [
            ("AppendMessages", request("AppendMessages", "s", messages=batch, new_session=new_session))
            for batch in batches
        ],
    )
    contents = [message.content for message in await stored(service)]
    for batch, answer in zip(batches, answers, strict=True):
        first = answer.messages[0].sequence
        assert contents[first - 1 : first + 4] == [message.content for message in batch]
    assert len(contents) == 200


async def test_retries_race_their_originals(service: Service, stubs: list[Any]) -> None:
    """A message that is sent four times at once is stored once, and all four answers have it."""
    answers = await race(
        stubs, [_append(number % 25, new_session=spb.SessionFields()) for number in range(100)]
    )
    for number in range(25):
        assert all(answer.message == answers[number].message for answer in answers[number::25])
    assert [message.sequence for message in await stored(service)] == list(range(1, 26))
    assert sum(answer.session_created for answer in answers) == 1


async def test_one_creates_and_the_others_are_told(service: Service, stubs: list[Any]) -> None:
    """Of concurrent CreateSession calls one succeeds; the others are ALREADY_EXISTS."""
    answers = await race(
        stubs,
        [
            ("CreateSession", request("CreateSession", "s", session=spb.SessionFields(title=f"{number}")))
            for number in range(40)
        ],
    )
    assert answers.count("SESSION_EXISTS") == 39
    (made,) = (answer for answer in answers if answer != "SESSION_EXISTS")
    assert await get(service) == made.session


async def test_all_get_the_session_that_one_creates(service: Service, stubs: list[Any]) -> None:
    """With allow_existing all concurrent creations return the same session; one says created."""
    answers = await race(
        stubs, [("CreateSession", request("CreateSession", "s", allow_existing=True)) for _ in range(40)]
    )
    session = await get(service)
    assert all(answer.session == session for answer in answers)
    assert sum(answer.created for answer in answers) == 1


@pytest.mark.parametrize("rival", ["AppendMessage", "AppendMessages", "CreateSession"])
async def test_one_append_makes_the_session(service: Service, stubs: list[Any], rival: str) -> None:
    """With new_session all concurrent appends are stored, and one answer says that it made the session."""
    calls = [_append(number, user_id="u", new_session=spb.SessionFields()) for number in range(40)]
    calls[::4] = [(rival, _making(rival)) for _ in calls[::4]]
    answers = [answer for answer in await race(stubs, calls) if answer != "SESSION_EXISTS"]
    appended = [answer for answer in answers if not isinstance(answer, pb.CreateSessionResponse)]
    made = [answer for answer in answers if answer not in appended or answer.session_created]
    assert len(made) == 1
    assert len(await stored(service)) == len(appended) == (30 if rival == "CreateSession" else 40)


@pytest.mark.parametrize("expected", [True, False])
async def test_an_expected_sequence_lets_one_through(
    service: Service, stubs: list[Any], *, expected: bool
) -> None:
    """Of concurrent appends that expect the same last sequence one is stored; without it all are."""
    fields = {"expected_last_sequence": 0} if expected else {}
    answers = await race(
        stubs, [_append(number, new_session=spb.SessionFields(), **fields) for number in range(40)]
    )
    assert answers.count("SEQUENCE_MISMATCH") == (39 if expected else 0)
    assert len(await stored(service)) == (1 if expected else 40)


async def test_no_more_pins_than_fit_get_through(service: Service, stubs: list[Any]) -> None:
    """Concurrent appends of pinned messages store 64 of them."""
    await create(service)
    pins = [("AppendMessage", request("AppendMessage", "s", message=said(pinned=True))) for _ in range(80)]
    answers = await race(stubs, pins)
    assert answers.count("TOO_MANY_PINNED") == 16
    assert len(await stored(service)) == 64


@pytest.mark.parametrize("round_", range(3))
@pytest.mark.parametrize("end", ["delete", "purge", "complete"])
async def test_what_is_acknowledged_is_there_or_the_session_is_gone(
    service: Service, stubs: list[Any], end: str, round_: int
) -> None:
    """An append beside the end of its session is stored and stays, or is refused because it has ended."""
    await create(service)
    if end == "complete":
        changed = spb.SessionFields(status=spb.SESSION_STATUS_COMPLETED)
        ending, reason = (
            ("UpdateSession", request("UpdateSession", "s", session=changed)),
            "SESSION_NOT_ACTIVE",
        )
    else:
        ending, reason = (
            ("DeleteSession", request("DeleteSession", "s", purge=end == "purge")),
            "SESSION_NOT_FOUND",
        )
    calls = [_append(number) for number in range(80)]
    calls.insert(20 * (round_ + 1), ending)
    answers = await race(stubs, calls)
    ended = answers.pop(20 * (round_ + 1))
    kept = [answer.message for answer in answers if answer != reason]
    assert sorted(message.sequence for message in kept) == list(range(1, len(kept) + 1))
    assert ended.session.message_count == len(kept)
    if end == "purge":
        assert (await call(service, "CreateSession", "s")).created
        kept = []
    elif end == "delete":
        await call(service, "UndeleteSession", "s")
    assert await stored(service) == sorted(kept, key=lambda message: message.sequence)


async def test_purges_race_appends_that_make_the_session_anew(service: Service, stubs: list[Any]) -> None:
    """A session that was purged and created again has the messages of its last life only."""
    calls = [_append(number, new_session=spb.SessionFields()) for number in range(120)]
    for place in range(10, 120, 20):
        calls.insert(place, ("DeleteSession", request("DeleteSession", "s", purge=True, allow_missing=True)))
    assert not [answer for answer in await race(stubs, calls) if isinstance(answer, str)]
    await call(service, "AppendMessage", "s", new_session=spb.SessionFields())
    session, messages = await get(service), await stored(service)
    assert [message.sequence for message in messages] == list(range(1, len(messages) + 1))
    assert (session.last_sequence, session.message_count) == (len(messages), len(messages))
    assert session.total_tokens == sum(message.token_count for message in messages)


async def test_of_updates_with_one_etag_one_gets_through(service: Service, stubs: list[Any]) -> None:
    """Of concurrent updates with the same etag one succeeds; the others are refused."""
    etag = (await create(service)).etag
    titles = [{"title": f"{number}"} for number in range(30)]
    answers = await race(
        stubs, [("UpdateSession", request("UpdateSession", "s", session=new, etag=etag)) for new in titles]
    )
    assert answers.count("ETAG_MISMATCH") == 29
    (changed,) = (answer for answer in answers if answer != "ETAG_MISMATCH")
    assert await get(service) == changed.session
