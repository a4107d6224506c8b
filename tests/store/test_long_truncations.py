"""Removals of more messages than one statement removes, from a session or with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from store_support import LONG, LONG_MESSAGES, use_cases

from sessionhistory_server.background import retention
from sessionhistory_server.model.window import WindowLimits
from support.callers import caller
from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.database import Database

_COUNTED = f"""
select count(*), sum(token_count), coalesce(sum(token_count) filter (where not pinned), 0),
       coalesce(sum(size_bytes) filter (where not pinned), 0), count(*) filter (where pinned), max(sequence)
from messages join sessions using (session_key) where session_id = '{LONG}'
"""
_REFUSE_MANY = """
create function refuse_many() returns trigger language plpgsql as $$
begin
    if (select count(*) from deleted) > 10000 then
        raise 'too many at once';
    end if;
    return null;
end $$
"""
_WATCH = """
create trigger few_at_once after delete on messages referencing old table as deleted
for each statement execute function refuse_many()
"""
_KEPT = f"""
select message_count, total_tokens, unpinned_tokens, unpinned_bytes, pinned_count
from sessions where session_id = '{LONG}'
"""


@pytest.mark.parametrize("left", [LONG_MESSAGES - 10_000, LONG_MESSAGES - 10_001, LONG_MESSAGES - 25_000, 1])
async def test_a_long_tail_goes_as_a_whole(
    open_database: Callable[..., Awaitable[Database]], full_database_url: str, left: int
) -> None:
    """A tail of several statements and a rest is removed, pinned messages too; the counters are right."""
    database = await open_database(full_database_url)
    removed, counters = await use_cases(database).messages.truncate(
        caller(), LONG, left, expected_last_sequence=None
    )
    assert (removed, counters.last_sequence) == (LONG_MESSAGES - left, LONG_MESSAGES)
    ((*counted, newest),) = execute(full_database_url, _COUNTED)
    assert [tuple(counted)] == execute(full_database_url, _KEPT)
    assert (counters.message_count, newest) == (left, left)
    window = await use_cases(database).windows.get(caller(), LONG, WindowLimits(max_messages=1))
    assert [message.sequence for message in window.messages] == [min(left, 1_000)]


@pytest.mark.one_machine("a trigger counts the rows, and Citus has none")
@pytest.mark.parametrize("how", ["by a call", "when it is due"])
async def test_a_long_session_is_purged_in_slices(
    open_database: Callable[..., Awaitable[Database]], full_database_url: str, how: str
) -> None:
    """No statement deletes more messages than its limit, so that none exceeds its time."""
    execute(full_database_url, _REFUSE_MANY, _WATCH)
    database = await open_database(full_database_url)
    if how == "by a call":
        await use_cases(database).sessions.delete(caller(), LONG, purge=True)
    else:
        execute(full_database_url, f"update sessions set purge_time = now() where session_id = '{LONG}'")
        assert await retention.purge_batch(database, []) == 1
    assert execute(full_database_url, _COUNTED)[0][0] == 0
    assert execute(full_database_url, "select count(*) from messages where sequence > 100") == [(0,)]


async def test_a_truncation_that_fails_removes_nothing(
    open_database: Callable[..., Awaitable[Database]], full_database_url: str
) -> None:
    """A truncation is one transaction: if a later statement fails, all messages are still there."""
    limit = f"check (session_id <> '{LONG}' or message_count > 20000)"
    execute(full_database_url, f"alter table sessions add {limit}")
    database = await open_database(full_database_url)
    with pytest.raises(psycopg.errors.CheckViolation):
        await use_cases(database).messages.truncate(caller(), LONG, 0, expected_last_sequence=None)
    assert execute(full_database_url, _COUNTED)[0][0] == LONG_MESSAGES
    assert execute(full_database_url, _KEPT)[0][0] == LONG_MESSAGES
