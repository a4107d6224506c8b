"""Sessions that go in through the client come out of it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from client_samples import MESSAGE, SESSION, fresh_id, sent

from sessionhistory import HistorySettings, Message, Role, Session, SessionStatus, errors

if TYPE_CHECKING:
    from sessionhistory import AsyncSessionHistoryClient as Client

SESSIONS: list[dict[str, Any]] = [
    {},
    {"user_id": "ada"},
    {"status": SessionStatus.ABANDONED},
    {"labels": {}},
    {"metadata": {}},
    {"state": {}},
    {"history_settings": HistorySettings(token_budget=0)},
    {"expire_time": datetime(2999, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=14)))},
]


def test_the_sample_is_whole() -> None:
    """What is tested below has every field that a caller can set, none at its default, but ``ttl``."""
    bare = sent(Session())
    assert {name for name, value in sent(SESSION).items() if value == bare[name]} == {"ttl"}


async def test_a_whole_session(client: Client) -> None:
    """Every field of a session comes back, from all that returns sessions, with the server's beside them."""
    session = dataclasses.replace(SESSION, session_id=fresh_id(), user_id=fresh_id())
    result = await client.create_session(session)
    made = result.session
    assert (result.created, sent(made)) == (True, sent(session))
    assert (made.message_count, made.total_tokens, made.last_sequence) == (0, 0, 0)
    assert made.create_time
    assert made.create_time == made.update_time == made.complete_time
    assert made.create_time.tzinfo is UTC
    assert made.last_message_time is made.delete_time is None
    assert made.etag
    found = [
        (await client.create_session(session, allow_existing=True)).session,
        await client.get_session(session.session_id),
        *(await client.list_sessions_page(user_id=session.user_id)).sessions,
        *[listed async for listed in client.list_sessions(user_id=session.user_id)],
    ]
    assert found == [made] * 4


@pytest.mark.parametrize("fields", SESSIONS, ids=str)
async def test_a_session(client: Client, fields: dict[str, Any]) -> None:
    """Absent and empty are kept apart, and times keep their instant."""
    session = Session(**{"session_id": fresh_id()} | fields)
    assert sent((await client.create_session(session)).session) == sent(session)


async def test_settings_without_a_limit_are_none(client: Client) -> None:
    """History settings that name no limit are those of a session that has none."""
    session = (await client.create_session(Session(history_settings=HistorySettings()))).session
    assert session.history_settings is None


async def test_a_session_made_by_an_append(client: Client) -> None:
    """It has every field of what it was to be made of."""
    session = dataclasses.replace(SESSION, session_id=fresh_id(), status=SessionStatus.ACTIVE)
    appended = await client.append_messages(session.session_id, [MESSAGE], create_session=session)
    assert appended.session_created
    found = await client.get_session(session.session_id)
    assert sent(found) == sent(session)
    assert (found.message_count, found.last_sequence, found.total_tokens) == (1, 1, 2**31 - 1)
    assert found.last_message_time == appended.messages[0].create_time


async def test_a_time_to_live(client: Client) -> None:
    """It comes back as the time when it is over."""
    session = (await client.create_session(Session(ttl=timedelta(days=1, microseconds=1)))).session
    assert session.ttl is None
    assert session.create_time
    assert session.expire_time == session.create_time + timedelta(days=1, microseconds=1)
    assert session.purge_time


async def test_an_update_sets_and_clears(client: Client) -> None:
    """Each field that is named is set, and cleared by nothing; what is not named stays."""
    session_id = fresh_id()
    values = {
        name: value
        for name, value in sent(SESSION).items()
        if name not in ("session_id", "user_id", "ttl", "expire_time")
    }
    await client.create_session(Session(session_id=session_id))
    cleared = sent(await client.get_session(session_id))
    for name, value in values.items():
        changed = await client.update_session(session_id, **{name: value})
        assert sent(changed) == cleared | {name: value}
        nothing = {"status": SessionStatus.ACTIVE, "title": "", "model": "", "labels": {}}.get(name)
        changed = await client.update_session(session_id, **{name: nothing})
        assert sent(changed) == cleared
    changed = await client.update_session(session_id, expire_time=SESSION.expire_time, title="t")
    assert (changed.expire_time, changed.title) == (SESSION.expire_time, "t")
    changed = await client.update_session(session_id, expire_time=None)
    assert (changed.expire_time, changed.title) == (None, "t")
    changed = await client.update_session(session_id, ttl=timedelta(hours=1), etag=changed.etag)
    assert changed.update_time
    assert changed.expire_time == changed.update_time + timedelta(hours=1)


async def test_a_deleted_session_comes_back(client: Client) -> None:
    """Delete and undelete return the session as it is then; a purged one is gone."""
    made = (await client.create_session(Session(title="t"))).session
    deleted = await client.delete_session(made.session_id)
    assert deleted
    assert deleted.delete_time
    assert deleted.purge_time
    restored = await client.undelete_session(made.session_id)
    assert sent(restored) == sent(made)
    assert restored.delete_time is restored.purge_time is None
    assert await client.delete_session(made.session_id, purge=True)
    assert await client.delete_session(made.session_id, allow_missing=True) is None
    assert (await client.create_session(Session(session_id=made.session_id))).created


async def test_the_active_session(client: Client) -> None:
    """It is found or made; when it ends, the one before is the active one, or there is none."""
    user_id = fresh_id()
    with pytest.raises(errors.SessionNotFoundError):
        await client.get_active_session(user_id)
    first = await client.get_active_session(user_id, create_session=Session(title="t", state={"n": 2**60}))
    assert (first.created, first.session.user_id, first.session.state) == (True, user_id, {"n": 2**60})
    found = await client.get_active_session(user_id, create_session=Session())
    assert (found.created, found.session) == (False, first.session)
    second = (await client.create_session(Session(user_id=user_id))).session
    assert (await client.get_active_session(user_id)).session == second
    for status in (SessionStatus.COMPLETED, SessionStatus.ABANDONED):
        ended = await client.update_session(second.session_id, status=status)
        assert (ended.status, ended.complete_time) == (status, ended.update_time)
        assert (await client.get_active_session(user_id)).session == first.session
    again = await client.update_session(second.session_id, status=SessionStatus.ACTIVE)
    assert again.complete_time is None
    assert (await client.get_active_session(user_id)).session == again


async def test_a_session_is_counted_again(client: Client) -> None:
    """It returns the session with its numbers, and how many of them are new."""
    session_id = fresh_id()
    await client.append_message(
        session_id, Message(role=Role.USER, content="hello"), create_session=Session()
    )
    before = await client.get_session(session_id)
    assert (before.token_counter, before.total_tokens) == ("characters", 2)
    result = await client.recount_tokens(session_id)
    assert (result.session, result.changed_message_count) == (before, 0)
    with pytest.raises(errors.SessionNotFoundError):
        await client.recount_tokens(session_id, user_id="eve")
