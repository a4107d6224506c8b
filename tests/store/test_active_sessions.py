"""The cost of finding a user's active session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_support import append, use_cases

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.model.filters import SessionFilter
from sessionhistory_server.model.session import SessionContent
from support.callers import caller
from support.databases import execute
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.database import Database
    from support.plans import Recorder

_ENDED = """
insert into sessions (session_key, tenant_id, session_id, user_id, status, message_count, total_tokens,
    last_sequence, unpinned_tokens, unpinned_bytes, pinned_count, revision, create_time, update_time,
    active_time, complete_time, delete_time, purge_time)
select gen_random_uuid(), 'default', 'ended-' || n, 'u',
       (array['COMPLETED', 'ABANDONED', 'ACTIVE'])[1 + n % 3], 0, 0, 0, 0, 0, 0, 1, now(), now(),
       now() + n * interval '1 second', case when n % 3 < 2 then now() end,
       case when n % 3 = 2 then now() end, case when n % 3 = 2 then now() + interval '1 day' end
from generate_series(1, 100000) as n
"""


async def test_what_has_ended_is_not_walked(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100,000 completed, abandoned and deleted sessions none is read, with or without an active one."""
    execute(database_url, _ENDED)
    database = await open_database(database_url)
    history = use_cases(database)
    with recording(monkeypatch, database_url) as recorder:
        with pytest.raises(NotFoundError):
            await history.sessions.get_active(caller("u"))
        assert await _rows_read(recorder) == 0
        await history.messages.append(caller("u"), append("open", new_session=SessionContent()))
        recorder.take()
        assert (await history.sessions.get_active(caller("u"))).session_id == "open"
        assert await _rows_read(recorder) <= 1
        wanted = SessionFilter(statuses=("ACTIVE",))
        found, _ = await history.sessions.find(caller("u"), wanted, page_size=50, page_token="")
        assert [session.session_id for session in found] == ["open"]
        assert await _rows_read(recorder) <= 1
        found, token = await history.sessions.find(caller("u"), SessionFilter(), page_size=50, page_token="")
        assert (len(found), bool(token)) == (50, True)
        assert await _rows_read(recorder) <= 51 * 3


async def _rows_read(recorder: Recorder) -> int:
    """Return how many sessions the last statement has read; on Citus in one shard."""
    (statement,) = (sent for sent in recorder.take() if " sessions" in sent.text)
    assert recorder.connection
    found = await plan(recorder.connection, statement, execute=True)
    return found.rows("sessions")


async def test_the_active_session_of_an_application(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """Each application has its own active session; without an application the newest one is found."""
    sessions = use_cases(await open_database(database_url)).sessions
    made = {}
    for application_id in ("a", "b", None):
        content = SessionContent(application_id=application_id)
        made[application_id] = await sessions.ensure_active(caller("u"), "", content)
    assert [created for _, created in made.values()] == [True, True, False]
    assert made[None] == (made["b"][0], False)
    for application_id in ("a", "b"):
        assert await sessions.get_active(caller("u"), application_id) == made[application_id][0]
    with pytest.raises(NotFoundError):
        await sessions.get_active(caller("u"), "c")
