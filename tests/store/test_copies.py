"""Copies of sessions: made by the database, of all there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from store_support import LONG, LONG_MESSAGES, edits_on

from sessionhistory_server.model import SessionContent
from sessionhistory_server.store import compaction, forks, schema
from support.databases import execute
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.database import Database

UP_TO = 10_000
_COUNTED = """
select count(*), sum(token_count), coalesce(sum(token_count) filter (where not pinned), 0),
       coalesce(sum(size_bytes) filter (where not pinned), 0), count(*) filter (where pinned), max(sequence)
from messages join sessions using (session_key) where session_id = 'fork'
"""
_KEPT = """
select message_count, total_tokens, unpinned_tokens, unpinned_bytes, pinned_count, last_sequence
from sessions where session_id = 'fork'
"""


def test_a_copy_has_every_column() -> None:
    """A column that messages or summaries get is copied as well."""
    assert {"session_key", *forks.COPIED} == set(schema.messages.columns.keys())
    assert {"session_key", *compaction.COPIED} == set(schema.summaries.columns.keys())


async def test_a_fork_reads_what_it_copies(
    open_database: Callable[..., Awaitable[Database]],
    full_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten thousand of 50,000 messages are copied by one statement, which visits these and returns one row."""
    edits = edits_on(await open_database(full_database_url))
    wanted = edits.plan(LONG, None, "fork", SessionContent())
    with recording(monkeypatch, full_database_url) as recorder:
        made, created = await edits.fork(wanted, up_to_sequence=UP_TO, allow_existing=False)
        (statement,) = (s for s in recorder.take() if s.text == forks._FORK)  # noqa: SLF001 - the statement that is meant
        again = statement.parameters | {"new_key": "00" * 16, "new_id": "another"}
        assert recorder.connection
        found = await plan(recorder.connection, statement._replace(parameters=again), execute=True)
    assert created
    assert (found.rows("messages"), found.rows("sessions")) == (UP_TO, 1)
    assert (made.message_count, made.last_sequence) == (UP_TO, UP_TO)
    assert execute(full_database_url, _COUNTED) == execute(full_database_url, _KEPT)


async def test_a_reset_that_fails_ends_nothing(
    open_database: Callable[..., Awaitable[Database]], full_database_url: str
) -> None:
    """Ending and making are one transaction."""
    limit = f"check (parent_sequence is null or parent_sequence <> {LONG_MESSAGES})"
    execute(full_database_url, f"alter table sessions add {limit}")
    edits = edits_on(await open_database(full_database_url))
    wanted = edits.plan(LONG, None, "", SessionContent())
    with pytest.raises(psycopg.errors.CheckViolation):
        await edits.reset(wanted, keep_history=True, keep_state=True, previous_status="COMPLETED")
    query = f"select status from sessions where session_id = '{LONG}'"
    assert execute(full_database_url, query) == [("ACTIVE",)]
