"""Forks: the data that they get, and the data of the original that does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, create, fresh_id, get, said, stored, update

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled

WHOLE: dict[str, Any] = {
    "application_id": "a",
    "title": "t",
    "model": "m",
    "labels": {"a": "b"},
    "metadata": '{"big": 12345678901234567890}',
    "state": '{ "a" : 1.0 }',
    "history_settings": {"max_messages": 7, "token_budget": 0},
    "expire_time": {"seconds": 33_000_000_000, "nanos": 123_456_000},
}
OTHER: dict[str, Any] = {
    "application_id": "b",
    "title": "other",
    "model": "n",
    "labels": {"c": "d"},
    "metadata": "{}",
    "state": "{}",
    "history_settings": {"max_messages": 1, "token_budget": 2},
    "expire_time": {"seconds": 34_000_000_000},
}


async def _talk(service: Service, *token_counts: int, user_id: str = "", **session: Any) -> str:
    """Return a session with messages m1, m2, … of these tokens; the second is pinned."""
    session_id = fresh_id()
    messages = [
        said(f"number {number}", message_id=f"m{number}", token_count=tokens, pinned=number == 2)
        for number, tokens in enumerate(token_counts, start=1)
    ]
    for message in messages:
        message.parts.add(reasoning={"text": "Hm.", "opaque": "AbC=", "signature": "s"})
        message.finish_reason = "stop"
    new = spb.SessionFields(**session)
    await append(service, session_id, *messages, user_id=user_id, new_session=new)
    return session_id


async def _fork(service: Service, session_id: str, **fields: Any) -> spb.Session:
    answer = await call(service, "ForkSession", session_id, **fields)
    assert answer.created
    forked: spb.Session = answer.session
    return forked


async def _windows(service: Service, session_id: str) -> list[pb.GetHistoryResponse]:
    """Return windows of enough budgets to tell different messages apart."""
    budgets = range(40)
    return [await call(service, "GetHistory", session_id, token_budget=each) for each in budgets]


@pytest.mark.parametrize("up_to", [None, 0, 1, 2, 3, 4, 5])
async def test_messages_are_copied_as_they_are(shared: Service, up_to: int | None) -> None:
    """Ids, sequences, times and contents are kept; counters and windows are those of the copied messages."""
    session_id = await _talk(shared, 1, 2, 4, 8, 16)
    before = await get(shared, session_id)
    copied = (await stored(shared, session_id))[:up_to]
    forked = await _fork(shared, session_id, through_sequence=up_to)
    assert await stored(shared, forked.session_id) == copied
    assert forked == await get(shared, forked.session_id)
    tokens = sum(message.token_count for message in copied)
    assert (forked.message_count, forked.last_sequence, forked.total_tokens) == (
        len(copied),
        len(copied),
        tokens,
    )
    sequence = 5 if up_to is None else up_to
    assert forked.parent == spb.SessionParent(session_id=session_id, through_sequence=sequence)
    # The same as in a session that never had other messages.
    same = await _talk(shared, *[message.token_count for message in copied] or [1])
    if copied:
        for ours, theirs in zip(
            await _windows(shared, forked.session_id), await _windows(shared, same), strict=True
        ):
            for message in [*ours.history.messages, *theirs.history.messages]:
                message.ClearField("create_time")
            assert ours == theirs
    assert await get(shared, session_id) == before


async def test_both_go_on_by_themselves(shared: Service) -> None:
    """Appends to one do not change the other; both know the ids of copied messages."""
    session_id = await _talk(shared, 1, 1, 1)
    forked = (await _fork(shared, session_id, through_sequence=2)).session_id
    (first, *_) = await stored(shared, session_id)
    assert (await append(shared, forked, said("fork", message_id="m3"))).messages[0].sequence == 3
    assert (await append(shared, session_id, said("old"))).messages[0].sequence == 4
    for each in (forked, session_id):
        assert (await call(shared, "AppendMessage", each, message=first)).message == first
    assert [message.content for message in await stored(shared, forked)][2:] == ["fork"]
    assert [message.content for message in await stored(shared, session_id)][2:] == ["number 3", "old"]


async def test_a_fork_of_a_truncated_session(shared: Service) -> None:
    """A fork keeps the gap of a truncation and goes on after its own last message; budgets add up."""
    session_id = await _talk(shared, 1, 2, 4, 8)
    await call(shared, "TruncateMessages", session_id, keep_through_sequence=1)
    await append(shared, session_id, said(message_id="m5", token_count=16))
    for up_to, sequences in ((None, [1, 5]), (4, [1]), (5, [1, 5])):
        forked = await _fork(shared, session_id, through_sequence=up_to)
        assert [m.sequence for m in await stored(shared, forked.session_id)] == sequences
        assert (forked.last_sequence, forked.parent.through_sequence) == (sequences[-1], up_to or 5)
        answer = await append(shared, forked.session_id, said(token_count=32))
        assert answer.last_sequence == sequences[-1] + 1
        most = {"token_budget": answer.total_tokens}
        history = (await call(shared, "GetHistory", forked.session_id, **most)).history
        assert len(history.messages) == answer.message_count
        most["token_budget"] -= 1
        history = (await call(shared, "GetHistory", forked.session_id, **most)).history
        assert len(history.messages) == answer.message_count - 1


async def test_a_fork_is_what_the_session_was(shared: Service) -> None:
    """A fork gets every field that callers set of a session, except the status."""
    session_id = await _talk(shared, 1, user_id="u", **WHOLE)
    await update(shared, session_id, status=spb.SESSION_STATUS_COMPLETED)
    forked = await _fork(shared, session_id)
    named = {"session_id": forked.session_id, "user_id": "u"}
    expected = spb.Session(**named, **WHOLE, status=spb.SESSION_STATUS_ACTIVE)
    for name in ("create_time", "update_time", "last_activity_time", "purge_time", "etag", "token_counter"):
        assert getattr(forked, name)
        forked.ClearField(name)
    for name in ("message_count", "total_tokens", "last_sequence", "parent"):
        forked.ClearField(name)
    assert forked == expected


@pytest.mark.parametrize("name", OTHER)
async def test_a_field_that_is_set_is_not_copied(shared: Service, name: str) -> None:
    """The request's fields are the new session's; the others come from the original."""
    session_id = await _talk(shared, 1, **WHOLE)
    forked = await _fork(shared, session_id, new_session={name: OTHER[name]})
    for field, value in (WHOLE | {name: OTHER[name]}).items():
        expected = spb.SessionFields(**{field: value})
        assert getattr(forked, field) == getattr(expected, field), field


async def test_one_of_the_settings(shared: Service) -> None:
    """One limit can be set without the other; a time to live counts from the fork."""
    session_id = await _talk(shared, 1, **WHOLE)
    session = spb.SessionFields(history_settings={"max_messages": 3}, ttl={"seconds": 60}, status=2)
    forked = await _fork(shared, session_id, new_session=session)
    assert (forked.history_settings.max_messages, forked.history_settings.token_budget) == (3, 0)
    assert forked.expire_time.seconds - forked.create_time.seconds == 60
    assert forked.status == spb.SESSION_STATUS_COMPLETED
    assert forked.end_time == forked.create_time


async def test_a_fork_is_the_newest(service: Service) -> None:
    """A fork is active now, so that it is the first in a list, although its messages are older."""
    session_id = await _talk(service, 1, 1)
    await _talk(service, 1)
    forked = await _fork(service, session_id)
    listed = (await call(service, "ListSessions", "")).sessions
    assert listed[0] == forked
    assert forked.last_activity_time == forked.create_time
    (last, appended) = (
        (await stored(service, session_id))[-1],
        await append(service, forked.session_id, said()),
    )
    assert last.create_time.ToMicroseconds() < forked.create_time.ToMicroseconds()
    assert appended.messages[0].create_time.ToMicroseconds() >= forked.create_time.ToMicroseconds()


async def test_a_title_of_its_own(shared: Service) -> None:
    """A fork of a session without a title gets its title from its own next user message."""
    session_id = (await create(shared, fresh_id())).session_id
    forked = (await _fork(shared, session_id)).session_id
    await append(shared, forked, said("hello"))
    assert (await get(shared, forked)).title == "hello"


async def test_a_sequence_that_the_session_has_not_reached(shared: Service) -> None:
    """A sequence beyond the session's last is refused, because the caller means another history."""
    session_id, forked = await _talk(shared, 1, 1), fresh_id()
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await _fork(shared, session_id, through_sequence=3, new_session_id=forked)
    assert failure.metadata["actual_last_sequence"] == "2"
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(shared, forked)


async def test_a_taken_id(shared: Service) -> None:
    """A fork to a taken id fails with ALREADY_EXISTS, whether the caller or another user owns the id."""
    session_id = await _talk(shared, 1, 1)
    for taken in (session_id, (await create(shared, fresh_id())).session_id, await _talk(shared, 1)):
        before = await stored(shared, taken)
        for allow_existing in (False, True):
            with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
                await _fork(shared, session_id, new_session_id=taken, allow_existing=allow_existing)
        assert await stored(shared, taken) == before


async def test_a_retry(shared: Service) -> None:
    """With allow_existing a retry returns the fork unchanged, if its parent and sequence are the same."""
    session_id = await _talk(shared, 1, 1, 1)
    named: dict[str, Any] = {"new_session_id": fresh_id()}
    forked = (await _fork(shared, session_id, through_sequence=2, **named)).session_id
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await _fork(shared, session_id, through_sequence=2, **named)
    await append(shared, forked, said())
    for same in ({}, {"through_sequence": 2}):
        again = await call(shared, "ForkSession", session_id, allow_existing=True, **named, **same)
        assert again == pb.ForkSessionResponse(session=await get(shared, forked), created=False)
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await _fork(shared, session_id, through_sequence=1, allow_existing=True, **named)
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await _fork(shared, await _talk(shared, 1), allow_existing=True, **named)
    await call(shared, "DeleteSession", forked)
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await _fork(shared, session_id, allow_existing=True, **named)
    await call(shared, "DeleteSession", forked, purge=True)
    assert (await _fork(shared, session_id, allow_existing=True, **named)).message_count == 3


async def test_a_session_that_is_gone(shared: Service) -> None:
    """A deleted or purged session cannot be forked; its forks stay, and still name their parent."""
    session_id = await _talk(shared, 1, 1)
    forked = await _fork(shared, session_id)
    for purge in (False, True):
        await call(shared, "DeleteSession", session_id, purge=purge)
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await _fork(shared, session_id)
    assert await get(shared, forked.session_id) == forked
    assert len(await stored(shared, forked.session_id)) == 2


@pytest.mark.parametrize(
    ("owner", "caller", "given", "new_owner"),
    [("u", "u", "", "u"), ("u", "", "", "u"), ("u", "u", "u", "u"), ("u", "", "v", "v"), ("", "", "v", "v")],
)
async def test_whose_a_fork_is(shared: Service, owner: str, caller: str, given: str, new_owner: str) -> None:
    """A fork belongs to the session's owner, unless a caller without a user_id names another user."""
    session_id = await _talk(shared, 1, user_id=owner)
    forked = await _fork(shared, session_id, user_id=caller, new_user_id=given)
    assert forked.user_id == new_owner


@pytest.mark.parametrize("method", ["ForkSession", "ResetSession"])
async def test_nobody_makes_sessions_for_others(shared: Service, method: str) -> None:
    """A caller with a user_id can fork and reset only that user's sessions, and only for that user."""
    session_id = await _talk(shared, 1, user_id="u")
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await call(shared, method, session_id, "u", new_user_id="v")
    assert list(failure.violations) == ["new_user_id"]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(shared, method, session_id, "v", new_user_id="v")


async def test_a_retry_returns_nobody_elses(shared: Service) -> None:
    """An existing fork of another user is refused like any taken id."""
    session_id = await _talk(shared, 1, user_id="u")
    named = {"new_session_id": fresh_id()}
    await _fork(shared, session_id, new_user_id="v", **named)
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await _fork(shared, session_id, user_id="u", allow_existing=True, **named)
