"""Checks of the stored rows: they are consistent, and have every acknowledged write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.databases import execute

if TYPE_CHECKING:
    from load import Appender, Editor, Load

_WRONG_COUNTERS = """
select session_id, sessions.*, sums
from sessions
cross join lateral (
    select count(*) as messages, coalesce(sum(token_count), 0) as tokens,
           coalesce(sum(token_count) filter (where not pinned), 0) as unpinned_tokens,
           coalesce(sum(size_bytes) filter (where not pinned), 0) as unpinned_bytes,
           count(*) filter (where pinned) as pinned, coalesce(max(sequence), 0) as last
    from messages where messages.session_key = sessions.session_key
) as sums
where message_count <> sums.messages or total_tokens <> sums.tokens or pinned_count <> sums.pinned
   or sessions.unpinned_tokens <> sums.unpinned_tokens or sessions.unpinned_bytes <> sums.unpinned_bytes
   or last_sequence < sums.last
"""

_WRONG_ROWS = """
select session_key, sequence from (
    select session_key, sequence, tokens_through, bytes_through, create_time,
           coalesce(sum(token_count) filter (where not pinned) over earlier, 0) as tokens,
           coalesce(sum(size_bytes) filter (where not pinned) over earlier, 0) as bytes,
           lag(create_time) over (partition by session_key order by sequence) as time_before
    from messages window earlier as (partition by session_key order by sequence)
) as row
where tokens_through <> tokens or bytes_through <> bytes or create_time < time_before
"""

_ORPHANS = """
select session_key from messages left join sessions using (session_key)
where sessions.session_key is null
"""


def consistent(url: str) -> None:
    """Compare counters and running totals with sums over the rows; times must follow the sequence."""
    for statement in (_WRONG_COUNTERS, _WRONG_ROWS, _ORPHANS):
        assert execute(url, statement) == [], statement


def nothing_lost(url: str, load: Load) -> None:
    """Compare stored and acknowledged writes: none is lost, doubled or out of order.

    Every writer has retried each write until it was acknowledged, so no other write is stored either.
    """
    consistent(url)
    assert load.failures == []
    _shared(url, load.appenders)
    for editor in load.editors:
        _own(url, editor)


def _shared(url: str, appenders: list[Appender]) -> None:
    told = {
        message_id: sequence for appender in appenders for message_id, sequence in appender.stored.items()
    }
    stored = _messages(url, "shared")
    assert {message_id: sequence for sequence, message_id, _ in stored} == told
    assert [sequence for sequence, *_ in stored] == list(range(1, len(stored) + 1))
    for appender in appenders:
        assert list(appender.stored.values()) == sorted(appender.stored.values())


def _own(url: str, editor: Editor) -> None:
    assert _messages(url, editor.session_id) == editor.kept
    found = execute(
        url,
        "select last_sequence, coalesce((state::json->>'count')::int, 0), coalesce(title, ''),"
        " compacted_through_sequence, delete_time is null"
        f" from sessions where session_id = '{editor.session_id}'",
    )
    ((last_sequence, state, title, compacted_through, live),) = found
    assert (last_sequence, state, live) == (editor.last_sequence, editor.state, True)
    assert compacted_through == max(editor.summaries, default=0)
    assert not editor.title or title == editor.title
    for fork_id, rows in editor.forks.items():
        assert _messages(url, fork_id) == rows


def _messages(url: str, session_id: str) -> list[tuple[object, ...]]:
    return execute(
        url,
        "select sequence, message_id, content from messages join sessions using (session_key)"
        f" where session_id = '{session_id}' order by sequence",
    )
