"""ResetSession: the old session ends and a new one begins, both or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, create, fresh_id, get, said, stored, update
from stream_support import begin, finish, header, text

from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from support.service import Service

pytestmark = pytest.mark.pooled

KEPT: dict[str, Any] = {
    "model": "m",
    "labels": {"a": "b"},
    "metadata": '{"a": 1}',
    "history_settings": {"max_messages": 7, "token_budget": 0},
    "expire_time": {"seconds": 33_000_000_000},
}


async def _talk(service: Service, user_id: str = "", **session: Any) -> str:
    """Return a session of three messages."""
    session_id = fresh_id()
    messages = [said(f"number {number}", message_id=f"m{number}", token_count=1) for number in (1, 2, 3)]
    new = spb.SessionFields(**session)
    await append(service, session_id, *messages, user_id=user_id, new_session=new)
    return session_id


async def _reset(service: Service, session_id: str, **fields: Any) -> pb.ResetSessionResponse:
    answer: pb.ResetSessionResponse = await call(service, "ResetSession", session_id, **fields)
    return answer


@pytest.mark.parametrize("status", [0, spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED])
async def test_the_old_session_ends(shared: Service, status: spb.SessionStatus) -> None:
    """The old session becomes COMPLETED or ABANDONED, and keeps its messages."""
    session_id = await _talk(shared)
    before, messages = await get(shared, session_id), await stored(shared, session_id)
    answer = await _reset(shared, session_id, previous_status=status)
    old = await get(shared, session_id)
    assert answer.previous_session == old
    assert old.status == (status or spb.SESSION_STATUS_COMPLETED)
    assert old.end_time == old.update_time == answer.session.create_time
    assert old.etag != before.etag
    assert await stored(shared, session_id) == messages
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await append(shared, session_id, said())


@pytest.mark.parametrize("keep_state", [False, True])
@pytest.mark.parametrize("keep_messages", [False, True])
async def test_what_the_new_session_has(shared: Service, *, keep_messages: bool, keep_state: bool) -> None:
    """The new session has the user, model, labels, metadata, limits and expiry of the old one.

    It has the messages and the state if the request asks for them.
    """
    session_id = await _talk(shared, user_id="u", title="t", state='{"step": 1}', **KEPT)
    answer = await _reset(shared, session_id, keep_messages=keep_messages, keep_state=keep_state)
    new = answer.session
    assert new == await get(shared, new.session_id)
    assert new.user_id == "u"
    for field, value in KEPT.items():
        assert getattr(new, field) == getattr(spb.SessionFields(**{field: value}), field), field
    assert new.status == spb.SESSION_STATUS_ACTIVE
    assert new.parent == spb.SessionParent(session_id=session_id, through_sequence=3)
    assert new.state == ('{"step": 1}' if keep_state else "")
    assert new.title == ("t" if keep_messages else "")
    copied = await stored(shared, session_id) if keep_messages else []
    assert await stored(shared, new.session_id) == copied
    counters = (new.message_count, new.last_sequence, new.total_tokens)
    assert counters == (len(copied),) * 3
    assert (await append(shared, new.session_id, said("more"))).last_sequence == len(copied) + 1
    assert (await get(shared, new.session_id)).title == ("t" if keep_messages else "more")


async def test_what_the_new_session_is_to_be(shared: Service) -> None:
    """The request's fields of the new session take precedence over those of the old one."""
    session_id = await _talk(shared, title="t", state="{}", **KEPT)
    fields = spb.SessionFields(title="new", state='{"a": 1}', labels={"c": "d"})
    named: dict[str, Any] = {"new_session_id": fresh_id(), "new_session": fields}
    new = (await _reset(shared, session_id, **named, keep_state=True, keep_messages=True)).session
    assert (new.session_id, new.title, new.state) == (named["new_session_id"], "new", '{"a": 1}')
    assert (new.labels, new.model) == ({"c": "d"}, "m")


@pytest.mark.parametrize("keep_messages", [False, True])
async def test_a_retry(shared: Service, *, keep_messages: bool) -> None:
    """A retry with an id returns the session of the first call; without an id it is refused."""
    session_id = await _talk(shared)
    fields: dict[str, Any] = {"new_session_id": fresh_id(), "keep_messages": keep_messages}
    first = await _reset(shared, session_id, **fields)
    assert await _reset(shared, session_id, **fields) == first
    await append(shared, first.session.session_id, said())
    again = await _reset(shared, session_id, **fields)
    assert again.session == await get(shared, first.session.session_id)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await _reset(shared, session_id)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await _reset(shared, session_id, new_session_id=fresh_id())


async def test_a_reopened_session_can_be_reset_again(shared: Service) -> None:
    """A session that is ACTIVE again can be reset again; the id of its first reset is taken."""
    session_id, new_id = await _talk(shared), fresh_id()
    await _reset(shared, session_id, new_session_id=new_id)
    await update(shared, session_id, status=spb.SESSION_STATUS_ACTIVE)
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await _reset(shared, session_id, new_session_id=new_id)
    second = (await _reset(shared, session_id)).session
    assert second.parent.session_id == session_id


@pytest.mark.parametrize("keep_messages", [False, True])
async def test_a_taken_id_ends_nothing(shared: Service, *, keep_messages: bool) -> None:
    """If the new session cannot be created, the old one does not change."""
    session_id = await _talk(shared)
    before = await get(shared, session_id)
    for taken in (session_id, await _talk(shared), (await create(shared, fresh_id())).session_id):
        with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
            await _reset(shared, session_id, new_session_id=taken, keep_messages=keep_messages)
    assert await get(shared, session_id) == before


async def test_a_session_that_is_not_there_for_the_caller(shared: Service) -> None:
    """Another user's, a deleted or a missing session is NOT_FOUND, and does not change."""
    session_id = await _talk(shared, user_id="u")
    before = await get(shared, session_id)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await _reset(shared, session_id, user_id="v")
    assert await get(shared, session_id) == before
    await call(shared, "DeleteSession", session_id)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await _reset(shared, session_id)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"previous_status": spb.SESSION_STATUS_ACTIVE}, "previous_status"),
        ({"previous_status": 9}, "previous_status"),
        ({"new_session": {"status": spb.SESSION_STATUS_COMPLETED}}, "new_session.status"),
        ({"new_session_id": "no id"}, "new_session_id"),
        ({"new_session": {"state": "[]"}}, "new_session.state"),
    ],
)
async def test_what_makes_no_sense(shared: Service, fields: dict[str, Any], path: str) -> None:
    """An invalid request is refused by the field's path."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await _reset(shared, await _talk(shared), **fields)
    assert list(failure.violations) == [path]


async def test_a_stream_that_was_open(shared: Service) -> None:
    """A stream that finishes after the reset is refused, and neither session has its message."""
    session_id = await _talk(shared)
    stream = await begin(shared, header(session_id), text("streamed"))
    new = (await _reset(shared, session_id, keep_messages=True)).session
    await stream.write(finish())
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await stream
    assert len(await stored(shared, session_id)) == len(await stored(shared, new.session_id)) == 3
