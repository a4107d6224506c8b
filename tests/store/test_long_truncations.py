"""Removing more messages than one statement removes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from store_support import LONG, LONG_MESSAGES, edits_on, use_cases

from sessionhistory_server.model import WindowLimits
from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.database import Database

_COUNTED = f"""
select count(*), sum(token_count), coalesce(sum(token_count) filter (where not pinned), 0),
       coalesce(sum(size_bytes) filter (where not pinned), 0), count(*) filter (where pinned), max(sequence)
from messages join sessions using (session_key) where session_id = '{LONG}'
"""
_KEPT = f"""
select message_count, total_tokens, unpinned_tokens, unpinned_bytes, pinned_count
from sessions where session_id = '{LONG}'
"""


@pytest.mark.parametrize("left", [LONG_MESSAGES - 10_000, LONG_MESSAGES - 10_001, LONG_MESSAGES - 25_000, 1])
async def test_a_long_tail_goes_as_a_whole(
    open_database: Callable[..., Awaitable[Database]], full_database_url: str, left: int
) -> None:
    """Whole statements' worth and what is over, pinned ones as well; all counters are those of the rest."""
    database = await open_database(full_database_url)
    removed, counters = await edits_on(database).truncate(LONG, None, left, expected_last_sequence=None)
    assert (removed, counters.last_sequence) == (LONG_MESSAGES - left, LONG_MESSAGES)
    ((*counted, newest),) = execute(full_database_url, _COUNTED)
    assert [tuple(counted)] == execute(full_database_url, _KEPT)
    assert (counters.message_count, newest) == (left, left)
    window = await use_cases(database).get_history(LONG, None, WindowLimits(max_messages=1))
    assert [message.sequence for message in window.messages] == [min(left, 1_000)]


async def test_a_truncation_that_fails_removes_nothing(
    open_database: Callable[..., Awaitable[Database]], full_database_url: str
) -> None:
    """It is one transaction: what the first statements have removed is there when a later one fails."""
    limit = f"check (session_id <> '{LONG}' or message_count > 20000)"
    execute(full_database_url, f"alter table sessions add {limit}")
    database = await open_database(full_database_url)
    with pytest.raises(psycopg.errors.CheckViolation):
        await edits_on(database).truncate(LONG, None, 0, expected_last_sequence=None)
    assert execute(full_database_url, _COUNTED)[0][0] == LONG_MESSAGES
    assert execute(full_database_url, _KEPT)[0][0] == LONG_MESSAGES
