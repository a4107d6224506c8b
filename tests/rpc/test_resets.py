"""Sessions that begin anew: the old one ends and a new one goes on, together or not at all."""

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

KEPT: dict[str, Any] = {
    "user_id": "u",
    "model": "m",
    "labels": {"a": "b"},
    "metadata": '{"a": 1}',
    "history_settings": {"max_messages": 7, "token_budget": 0},
    "expire_time": {"seconds": 33_000_000_000},
}


async def _talk(service: Service, **session: Any) -> str:
    """Return a session of three messages."""
    session_id = fresh_id()
    messages = [said(f"number {number}", message_id=f"m{number}", token_count=1) for number in (1, 2, 3)]
    await append(service, session_id, *messages, create_session=spb.Session(**session))
    return session_id


async def _reset(service: Service, session_id: str, **fields: Any) -> pb.ResetSessionResponse:
    answer: pb.ResetSessionResponse = await call(service, "ResetSession", session_id, **fields)
    return answer


@pytest.mark.parametrize("status", [0, spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED])
async def test_the_old_session_ends(shared: Service, status: spb.SessionStatus) -> None:
    """It is COMPLETED or ABANDONED since then, and keeps its messages."""
    session_id = await _talk(shared)
    before, messages = await get(shared, session_id), await stored(shared, session_id)
    answer = await _reset(shared, session_id, previous_status=status)
    old = await get(shared, session_id)
    assert answer.previous_session == old
    assert old.status == (status or spb.SESSION_STATUS_COMPLETED)
    assert old.complete_time == old.update_time == answer.session.create_time
    assert old.etag != before.etag
    assert await stored(shared, session_id) == messages
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await append(shared, session_id, said())


@pytest.mark.parametrize("keep_state", [False, True])
@pytest.mark.parametrize("keep_history", [False, True])
async def test_what_the_new_session_has(shared: Service, *, keep_history: bool, keep_state: bool) -> None:
    """User, model, labels, metadata, limits and expiry in any case; history and state as asked."""
    session_id = await _talk(shared, title="t", state='{"step": 1}', **KEPT)
    answer = await _reset(shared, session_id, keep_history=keep_history, keep_state=keep_state)
    new = answer.session
    assert new == await get(shared, new.session_id)
    for field, value in KEPT.items():
        assert getattr(new, field) == getattr(spb.Session(**{field: value}), field), field
    assert new.status == spb.SESSION_STATUS_ACTIVE
    assert new.parent == spb.SessionParent(session_id=session_id, sequence=3)
    assert new.state == ('{"step": 1}' if keep_state else "")
    assert new.title == ("t" if keep_history else "")
    copied = await stored(shared, session_id) if keep_history else []
    assert await stored(shared, new.session_id) == copied
    counters = (new.message_count, new.last_sequence, new.total_tokens)
    assert counters == (len(copied),) * 3
    assert (await append(shared, new.session_id, said("more"))).last_sequence == len(copied) + 1
    assert (await get(shared, new.session_id)).title == ("t" if keep_history else "more")


async def test_what_the_new_session_is_to_be(shared: Service) -> None:
    """What the request sets of it goes before what the old one had."""
    session_id = await _talk(shared, title="t", state="{}", **KEPT)
    session = spb.Session(session_id=fresh_id(), title="new", state='{"a": 1}', labels={"c": "d"})
    new = (await _reset(shared, session_id, session=session, keep_state=True, keep_history=True)).session
    assert (new.session_id, new.title, new.state) == (session.session_id, "new", '{"a": 1}')
    assert (new.labels, new.model) == ({"c": "d"}, "m")


@pytest.mark.parametrize("keep_history", [False, True])
async def test_a_retry(shared: Service, *, keep_history: bool) -> None:
    """The same call with an id returns the session of the first; without one it is refused."""
    session_id = await _talk(shared)
    fields: dict[str, Any] = {"session": {"session_id": fresh_id()}, "keep_history": keep_history}
    first = await _reset(shared, session_id, **fields)
    assert await _reset(shared, session_id, **fields) == first
    await append(shared, first.session.session_id, said())
    again = await _reset(shared, session_id, **fields)
    assert again.session == await get(shared, first.session.session_id)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await _reset(shared, session_id)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await _reset(shared, session_id, session={"session_id": fresh_id()})


async def test_a_reopened_session_can_be_reset_again(shared: Service) -> None:
    """Once it is ACTIVE again; then the id of the first reset is taken."""
    session_id, new_id = await _talk(shared), fresh_id()
    await _reset(shared, session_id, session={"session_id": new_id})
    await update(shared, session_id, status=spb.SESSION_STATUS_ACTIVE)
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await _reset(shared, session_id, session={"session_id": new_id})
    second = (await _reset(shared, session_id)).session
    assert second.parent.session_id == session_id


@pytest.mark.parametrize("keep_history", [False, True])
async def test_a_taken_id_ends_nothing(shared: Service, *, keep_history: bool) -> None:
    """If the new session cannot be made, the old one stays as it was."""
    session_id = await _talk(shared)
    before = await get(shared, session_id)
    for taken in (session_id, await _talk(shared), (await create(shared, fresh_id())).session_id):
        with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
            await _reset(shared, session_id, session={"session_id": taken}, keep_history=keep_history)
    assert await get(shared, session_id) == before


async def test_a_session_that_is_not_there_for_the_caller(shared: Service) -> None:
    """Another's, a deleted or a missing one is not found, and stays as it is."""
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
        ({"session": {"status": spb.SESSION_STATUS_COMPLETED}}, "session.status"),
        ({"session": {"session_id": "no id"}}, "session.session_id"),
        ({"session": {"state": "[]"}}, "session.state"),
    ],
)
async def test_what_makes_no_sense(shared: Service, fields: dict[str, Any], path: str) -> None:
    """It is refused by the field's name."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await _reset(shared, await _talk(shared), **fields)
    assert list(failure.violations) == [path]


async def test_a_stream_that_was_open(shared: Service) -> None:
    """What finishes after the session has ended is refused, and is in neither session."""
    session_id = await _talk(shared)
    stream = await begin(shared, header(session_id), text("streamed"))
    new = (await _reset(shared, session_id, keep_history=True)).session
    await stream.write(finish())
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await stream
    assert len(await stored(shared, session_id)) == len(await stored(shared, new.session_id)) == 3
