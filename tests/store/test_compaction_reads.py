"""How many rows a compaction reads, and a window of a session that was compacted many times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_support import LONG, LONG_MESSAGES, PINNED_EVERY, append, compact, new_message, use_cases

from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store import summaries
from sessionhistory_server.store.windows import statements
from support.callers import caller
from support.databases import execute
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.database import Database

WHOLE = (statements.WHOLE, statements.of_one_session(statements.WHOLE))
PINS = LONG_MESSAGES // PINNED_EVERY
EVERY = 10

# A summary for every ten messages of the long session, except the last fifty.
COMPACT = f"""
insert into summaries (session_key, through_sequence, message_id, role, content, status, token_count,
    create_time, size_bytes, covered_count)
select session_key, n, 'summary-' || n, 'SYSTEM', 'in short', 'COMPLETE', 5, now(), 300,
       n - n / {PINNED_EVERY}
from sessions cross join generate_series({EVERY - 1}, {LONG_MESSAGES - 51}, {EVERY}) as n
where session_id = '{LONG}'
"""
MARK = f"""
update sessions set compacted_through_sequence = {LONG_MESSAGES - 51}, compacted_removed_count = 0
where session_id = '{LONG}'
"""


@pytest.mark.parametrize(
    ("limits", "held"),
    [
        (WindowLimits(1_000), 50 + PINS + 1),
        (WindowLimits(PINS + 10), PINS + 10),
        (WindowLimits(1_000, include_pinned=False), 51),
        (WindowLimits(20, include_pinned=False), 20),
        (WindowLimits(0), 0),
        (WindowLimits(1_000, 4), 0),
        (WindowLimits(1_000, include_pinned=False, before_sequence=LONG_MESSAGES // 2), 1),
        (WindowLimits(1_000, 104, include_pinned=False, before_sequence=LONG_MESSAGES // 2 + 5), 5),
        (WindowLimits(1_000, include_pinned=False, before_sequence=EVERY - 1), EVERY - 2),
        (WindowLimits(1_000, include_pinned=False, max_turns=3), 6),
    ],
)
async def test_a_window_reads_what_it_holds(
    open_database: Callable[..., Awaitable[Database]],
    full_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    limits: WindowLimits,
    held: int,
) -> None:
    """A window reads one of 5,000 summaries twice, and hardly more messages than it holds."""
    execute(full_database_url, COMPACT, MARK, "vacuum analyze summaries")
    history = use_cases(await open_database(full_database_url))
    with recording(monkeypatch, full_database_url) as recorder:
        window = await history.windows.get(caller(), LONG, limits)
        (statement,) = (s for s in recorder.take() if s.text in WHOLE)
        assert recorder.connection
        found = await plan(recorder.connection, statement, execute=True)
    assert len(window.messages) == held
    scans = [node.rows_read for node in found if node.table == "messages"]
    assert max(scans) <= held + 2 + PINS, scans
    assert found.rows("summaries") <= 2
    assert found.rows("sessions") == 1


@pytest.mark.one_machine("Citus does not explain an insert of selected rows")
async def test_a_compaction_reads_what_no_summary_covered(
    open_database: Callable[..., Awaitable[Database]], full_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction reads only the messages after the previous summary, however long the session is."""
    execute(full_database_url, COMPACT, MARK, "vacuum analyze summaries")
    database = await open_database(full_database_url)
    with recording(monkeypatch, full_database_url) as recorder:
        summary = await compact(database, LONG, LONG_MESSAGES - 1)
        assert recorder.connection
        sent = {statement.text: statement for statement in recorder.take()}
        rows: dict[str, list[int]] = {"messages": [], "summaries": []}
        for text in (summaries._PLACE, summaries._STORED, summaries._STORE):  # noqa: SLF001 - the statements that a compaction sends
            found = await plan(recorder.connection, sent[text], execute=True)
            for table, counts in rows.items():
                counts.append(found.rows(table))
    assert summary.message_count == LONG_MESSAGES - PINS
    assert rows == {"messages": [2, 0, 50], "summaries": [0, 0, 1]}


async def test_a_summary_in_the_middle_is_counted_from_the_one_before(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """The counts of a summary do not depend on the other summaries, before or after it."""
    database = await open_database(database_url)
    history = use_cases(database)
    kinds = [new_message(pinned=n % 3 == 0, tokens=n) for n in range(1, 21)]
    await history.messages.append(caller(), append("s", *kinds, new_session=SessionContent()))
    for through in (20, 7, 13, 2, 19, 7):
        summary = await compact(database, "s", through, tokens=through)
        unpinned = [n for n in range(1, through + 1) if n % 3]
        assert (summary.message_count, summary.total_tokens) == (len(unpinned), sum(unpinned))
