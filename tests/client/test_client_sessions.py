"""Sessions come back from the service as they were sent."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from client_samples import MESSAGE, SESSION, fresh_id, set_of

from sessionhistory import (
    HistorySettings,
    Message,
    Role,
    SessionFields,
    SessionStatus,
    UnansweredCalls,
    errors,
)

if TYPE_CHECKING:
    from sessionhistory import AsyncSessionHistoryClient as Client

SESSIONS: list[dict[str, Any]] = [
    {},
    {"application_id": "shop"},
    {"status": SessionStatus.ABANDONED},
    {"labels": {}},
    {"metadata": {}},
    {"state": {}},
    {"history_settings": HistorySettings(token_budget=0)},
    {"history_settings": HistorySettings(step_tokens=0)},
    {"history_settings": HistorySettings(step_messages=0)},
    {"history_settings": HistorySettings(unanswered_calls=UnansweredCalls.KEEP)},
    {"history_settings": HistorySettings(whole_responses=False)},
    {"history_settings": HistorySettings(step_messages=1, whole_responses=True)},
    {"expire_time": datetime(2999, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=14)))},
]


def test_the_sample_is_whole() -> None:
    """The sample has every field that a caller can set, none at its default, except ``ttl``."""
    bare = set_of(SessionFields())
    assert {name for name, value in set_of(SESSION).items() if value == bare[name]} == set()


async def test_a_whole_session(client: Client) -> None:
    """Every method that returns sessions returns every field, with the server's fields."""
    session_id, user_id = fresh_id(), fresh_id()
    result = await client.create_session(session_id, SESSION, user_id=user_id)
    made = result.session
    assert (result.created, set_of(made)) == (True, set_of(SESSION))
    assert (made.session_id, made.user_id) == (session_id, user_id)
    assert (made.message_count, made.total_tokens, made.last_sequence) == (0, 0, 0)
    assert made.create_time == made.update_time == made.last_activity_time == made.end_time
    assert made.create_time.tzinfo is UTC
    assert made.delete_time is None
    assert made.etag
    found = [
        (await client.create_session(session_id, user_id=user_id, allow_existing=True)).session,
        await client.get_session(session_id),
        *(await client.list_sessions_page(user_id=user_id)).sessions,
        *[listed async for listed in client.list_sessions(user_id=user_id)],
    ]
    assert found == [made] * 4


async def test_a_session_of_nothing(client: Client) -> None:
    """A session without arguments gets an id, has no owner, and has default values."""
    result = await client.create_session()
    assert result.created
    assert result.session.session_id
    assert result.session.user_id == ""
    assert set_of(result.session) == set_of(SessionFields())


@pytest.mark.parametrize("fields", SESSIONS, ids=str)
async def test_a_session(client: Client, fields: dict[str, Any]) -> None:
    """Absent and empty values stay different, and times keep their instant."""
    session = SessionFields(**fields)
    assert set_of((await client.create_session(session=session)).session) == set_of(session)


async def test_settings_without_a_limit_are_none(client: Client) -> None:
    """History settings without a limit come back as none."""
    fields = SessionFields(history_settings=HistorySettings())
    assert (await client.create_session(session=fields)).session.history_settings is None


async def test_a_session_made_by_an_append(client: Client) -> None:
    """A session that an append creates has every given field."""
    session_id, fields = fresh_id(), dataclasses.replace(SESSION, status=SessionStatus.ACTIVE)
    appended = await client.append_messages(session_id, [MESSAGE], user_id="ada", new_session=fields)
    assert appended.session_created
    found = await client.get_session(session_id)
    assert (found.user_id, set_of(found)) == ("ada", set_of(fields))
    assert (found.message_count, found.last_sequence, found.total_tokens) == (1, 1, 2**31 - 1)
    assert found.last_activity_time == appended.messages[0].create_time


async def test_a_time_to_live(client: Client) -> None:
    """A time to live comes back as the time at which it ends."""
    fields = SessionFields(ttl=timedelta(days=1, microseconds=1))
    session = (await client.create_session(session=fields)).session
    assert session.expire_time == session.create_time + timedelta(days=1, microseconds=1)
    assert session.purge_time


async def test_an_update_sets_and_clears(client: Client) -> None:
    """Named fields are set, or cleared by None; other fields do not change."""
    session_id = fresh_id()
    values = {
        name: value
        for name, value in set_of(SESSION).items()
        if name not in ("application_id", "expire_time")
    }
    await client.create_session(session_id)
    cleared = set_of(await client.get_session(session_id))
    for name, value in values.items():
        changed = await client.update_session(session_id, **{name: value})
        assert set_of(changed) == cleared | {name: value}
        nothing = {"status": SessionStatus.ACTIVE, "title": "", "model": "", "labels": {}}.get(name)
        changed = await client.update_session(session_id, **{name: nothing})
        assert set_of(changed) == cleared
    changed = await client.update_session(session_id, expire_time=SESSION.expire_time, title="t")
    assert (changed.expire_time, changed.title) == (SESSION.expire_time, "t")
    changed = await client.update_session(session_id, expire_time=None)
    assert (changed.expire_time, changed.title) == (None, "t")
    changed = await client.update_session(session_id, ttl=timedelta(hours=1), etag=changed.etag)
    assert changed.expire_time == changed.update_time + timedelta(hours=1)


async def test_a_deleted_session_comes_back(client: Client) -> None:
    """Delete and undelete return the session as it is afterwards; a purged one is gone."""
    made = (await client.create_session(session=SessionFields(title="t"))).session
    deleted = await client.delete_session(made.session_id)
    assert deleted
    assert deleted.delete_time
    assert deleted.purge_time
    restored = await client.undelete_session(made.session_id)
    assert set_of(restored) == set_of(made)
    assert restored.delete_time is restored.purge_time is None
    assert await client.delete_session(made.session_id, purge=True)
    assert await client.delete_session(made.session_id, allow_missing=True) is None
    assert (await client.create_session(made.session_id)).created


async def test_the_active_session(client: Client) -> None:
    """The active session is found or created; when it ends, the one before it is active, or none."""
    user_id = fresh_id()
    with pytest.raises(errors.SessionNotFoundError):
        await client.get_active_session(user_id)
    first = await client.ensure_active_session(user_id, SessionFields(title="t", state={"n": 2**60}))
    assert (first.created, first.session.user_id, first.session.state) == (True, user_id, {"n": 2**60})
    found = await client.ensure_active_session(user_id)
    assert (found.created, found.session) == (False, first.session)
    second = (await client.create_session(user_id=user_id)).session
    assert await client.get_active_session(user_id) == second
    for status in (SessionStatus.COMPLETED, SessionStatus.ABANDONED):
        ended = await client.update_session(second.session_id, status=status)
        assert (ended.status, ended.end_time) == (status, ended.update_time)
        assert await client.get_active_session(user_id) == first.session
    again = await client.update_session(second.session_id, status=SessionStatus.ACTIVE)
    assert again.end_time is None
    assert await client.get_active_session(user_id) == again


async def test_the_active_session_by_id(client: Client) -> None:
    """A new session gets the id; the id of another session is refused."""
    user_id, session_id = fresh_id(), fresh_id()
    first = await client.ensure_active_session(user_id, new_session_id=session_id)
    assert (first.created, first.session.session_id) == (True, session_id)
    again = await client.ensure_active_session(user_id, new_session_id=session_id)
    assert (again.created, again.session) == (False, first.session)
    with pytest.raises(errors.SessionExistsError):
        await client.ensure_active_session(fresh_id(), new_session_id=session_id)


async def test_the_active_session_of_an_application(client: Client) -> None:
    """Another application's session is not found, and a new one is created."""
    user_id = fresh_id()
    travel = await client.ensure_active_session(user_id, SessionFields(application_id="travel"))
    with pytest.raises(errors.SessionNotFoundError):
        await client.get_active_session(user_id, application_id="shop")
    shop = await client.ensure_active_session(user_id, SessionFields(application_id="shop"))
    assert (travel.created, shop.created) == (True, True)
    assert await client.get_active_session(user_id, application_id="travel") == travel.session
    assert await client.get_active_session(user_id) == shop.session


async def test_a_session_is_counted_again(client: Client) -> None:
    """A recount returns the session with its totals, and the number of changed counts."""
    session_id = fresh_id()
    await client.append_message(
        session_id, Message(role=Role.USER, content="hello"), new_session=SessionFields()
    )
    before = await client.get_session(session_id)
    assert (before.token_counter, before.total_tokens) == ("characters@2", 2)
    result = await client.recount_tokens(session_id)
    assert (result.session, result.changed_message_count) == (before, 0)
    with pytest.raises(errors.SessionNotFoundError):
        await client.recount_tokens(session_id, user_id="eve")
