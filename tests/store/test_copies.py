"""Copies of sessions: one statement of the database copies everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from store_support import LONG, LONG_MESSAGES, use_cases

from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.store import schema, summaries
from sessionhistory_server.store.forks import copying
from sessionhistory_server.usecases.forks import NewBranch
from support.callers import caller
from support.databases import execute
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.database import Database

THROUGH = 10_000
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
    """A copy has every column of messages and summaries, including future ones."""
    assert {"session_key", *copying.COPIED_COLUMNS} == set(schema.messages.columns.keys())
    assert {"session_key", *summaries.COPIED_COLUMNS} == set(schema.summaries.columns.keys())


@pytest.mark.one_machine("there one statement copies; on Citus a fork takes several")
async def test_a_fork_reads_what_it_copies(
    open_database: Callable[..., Awaitable[Database]],
    full_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One statement copies 10,000 of 50,000 messages, visits only these and returns one row."""
    history = use_cases(await open_database(full_database_url))
    wanted = NewBranch("fork", None, SessionContent())
    with recording(monkeypatch, full_database_url) as recorder:
        made, created = await history.forks.fork(
            caller(), LONG, wanted, through_sequence=THROUGH, allow_existing=False
        )
        (statement,) = (s for s in recorder.take() if s.text == copying._FORK)  # noqa: SLF001 - the statement under test
        again = statement.parameters | {"new_key": "00" * 16, "new_id": "another"}
        assert recorder.connection
        found = await plan(recorder.connection, statement._replace(parameters=again), execute=True)
    assert created
    assert (found.rows("messages"), found.rows("sessions")) == (THROUGH, 1)
    assert (made.message_count, made.last_sequence) == (THROUGH, THROUGH)
    assert execute(full_database_url, _COUNTED) == execute(full_database_url, _KEPT)


async def test_a_reset_that_fails_ends_nothing(
    open_database: Callable[..., Awaitable[Database]], full_database_url: str
) -> None:
    """A reset ends the old session and creates the new one in one transaction."""
    limit = f"check (parent_sequence is null or parent_sequence <> {LONG_MESSAGES})"
    execute(full_database_url, f"alter table sessions add {limit}")
    history = use_cases(await open_database(full_database_url))
    wanted = NewBranch("", None, SessionContent())
    with pytest.raises(psycopg.errors.CheckViolation):
        await history.forks.reset(
            caller(), LONG, wanted, keep_messages=True, keep_state=True, previous_status="COMPLETED"
        )
    query = f"select status from sessions where session_id = '{LONG}'"
    assert execute(full_database_url, query) == [("ACTIVE",)]
