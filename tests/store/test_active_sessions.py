"""What it costs to find the session in which a user is active."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from store_support import append, use_cases

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.lifecycle import ActiveSessions
from sessionhistory_server.model import SessionContent
from sessionhistory_server.store.session_list import SessionFilter
from support.databases import execute
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.database import Database
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
    """Of 100,000 completed, abandoned and deleted sessions none is read, with an active one or without."""
    execute(database_url, _ENDED)
    database = await open_database(database_url)
    history = use_cases(database)
    active = ActiveSessions(database, token_counter="characters", delete_retention=timedelta(days=30))
    with recording(monkeypatch, database_url) as recorder:
        with pytest.raises(NotFoundError):
            await active.get("u")
        assert await _rows_read(recorder) == 0
        await history.append(append("open", create_session=SessionContent(user_id="u")))
        recorder.take()
        assert (await active.get("u")).session_id == "open"
        assert await _rows_read(recorder) == 1
        wanted = SessionFilter(user_id="u", statuses=("ACTIVE",))
        found, _ = await history.list_sessions(wanted, page_size=50, page_token="")
        assert [session.session_id for session in found] == ["open"]
        assert await _rows_read(recorder) == 1
        found, token = await history.list_sessions(SessionFilter(user_id="u"), page_size=50, page_token="")
        assert (len(found), bool(token)) == (50, True)
        assert await _rows_read(recorder) <= 51 * 3


async def _rows_read(recorder: Recorder) -> int:
    """Return how many sessions the last statement has read."""
    (statement,) = recorder.take()
    assert recorder.connection
    found = await plan(recorder.connection, statement, execute=True)
    return found.rows("sessions")
