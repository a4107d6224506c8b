"""The two statements that read windows: ``NEWEST`` for most windows, ``WHOLE`` for all.

A statement reads several windows, and returns a row for each of their messages. After the columns of the
message, a row has facts of the window, and at its end the window's index in the request. A window without
messages is one row of nulls.

``NEWEST`` has few steps, because their number decides what it costs. It reads a little more than the window,
and ``model.window.fit`` cuts the window. The totals of the session are those of its newest message.

- ``session``: the session, if the caller may read it, and the limits of its window.
- ``boundary``: the newest message that exceeds the tokens or bytes of a window without pinned messages. It is
  not looked for in a session that has fewer.
- The messages from the boundary on, but at most one more than the window has, and the pinned messages.

``WHOLE`` cuts the window itself. After the message, a row has the limit that cut the run, then the other
fields of ``WindowRows`` in their order. Its steps are common table expressions:

- ``session``: the session and the limits, without the message, tokens and bytes of the summary.
- ``pinned``: the pinned messages that fit, oldest first. Their running sums never decrease, so the messages
  that fit are a prefix.
- ``room``: the limits of the run of newest messages, which are the rest after the pinned messages.
- ``boundary``: the newest unpinned message that is not in the run. The scan stops at it: the outer limit also
  ends the inner query, whose running totals need only the first row and the current row.
- ``about_run``: facts about the run, found once for each window.

Each read of messages has an order that only one index has. Otherwise the planner may read a session from end
to end before the tables are analyzed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, LiteralString

from sessionhistory_server.limits import MAX_WINDOW_MESSAGES
from sessionhistory_server.store.columns.message import MESSAGE_COLUMNS, SUMMARY_COLUMNS
from sessionhistory_server.store.guard import SUMMARIES_IN_FORCE
from sessionhistory_server.store.session_ref import LIVE
from sessionhistory_server.store.summaries import covered_last_exists
from sessionhistory_server.store.windows import steps

_NO_BUDGET: Final = 2**62

_ASKED: Final = """
json_to_recordset(%(asked)s::json) as asked (
    place bigint, wanted uuid, owner text, bound_application_id text,
    max_messages bigint, token_budget bigint, before_sequence bigint,
    include_pinned boolean, max_bytes bigint, max_turns bigint, step_tokens bigint, step_messages bigint,
    unanswered_calls text, whole_responses boolean
)"""

_LIMITS: Final = f"""message_count, last_sequence,
           least(coalesce(asked.max_messages, history_max_messages,
                          %(default_max_messages)s::bigint), {MAX_WINDOW_MESSAGES}) as max_messages,
           coalesce(asked.token_budget, history_token_budget,
                    (%(model_token_budgets)s::jsonb ->> model)::bigint,
                    %(default_token_budget)s::bigint, {_NO_BUDGET}) as token_budget,
           asked.max_bytes as max_bytes,
           coalesce(asked.unanswered_calls, history_unanswered_calls,
                    %(default_unanswered_calls)s::text) = 'OMIT' as omits_unanswered"""

_FOUND: Final = f"""
    from sessions
    where session_key = asked.wanted and (asked.owner is null or user_id = asked.owner)
      and (asked.bound_application_id is null or application_id = asked.bound_application_id) and {LIVE}"""

_SESSION: Final = f"""
    select {_LIMITS}, {steps.OF_SESSION},
           coalesce(asked.before_sequence, last_sequence + 1) as before_sequence,
           compacted_through_sequence, {SUMMARIES_IN_FORCE} as in_force {_FOUND}"""

# A summary is far smaller than a response, so only the two other limits can exclude it. Without it, the run
# still ends before the messages that it covers.
_SESSION_AND_SUMMARY: Final = f"""
    select message_count, last_sequence, before_sequence, omits_unanswered,
           step_tokens, step_messages, whole_responses,
           max_messages - case when fits then 1 else 0 end as max_messages,
           token_budget - case when fits then token_count else 0 end as token_budget,
           max_bytes - case when fits then size_bytes else 0 end as max_bytes,
           coalesce(through_sequence, 0) as after_sequence,
           case when fits then through_sequence end as summary, covered_count,
           coalesce(covered_tokens, 0) as covered_tokens,
           case when not fits then case when max_messages < 1 then 'MAX_MESSAGES' else 'TOKEN_BUDGET' end
           end as cut
    from named left join lateral (
        select through_sequence, token_count, size_bytes, covered_count,
               token_count <= token_budget and max_messages > 0 as fits
        from summaries
        where summaries.session_key = asked.wanted and through_sequence < before_sequence
          and through_sequence <= compacted_through_sequence
          and (in_force or {covered_last_exists("asked.wanted")})
        order by through_sequence desc
        limit 1
    ) as summary on true left join lateral (
        select tokens_through as covered_tokens from messages
        where messages.session_key = asked.wanted and sequence >= through_sequence
        order by sequence
        limit 1
    ) as covered on through_sequence is not null"""

_PINNED: Final = """
    select p.sequence, p.token_count, p.size_bytes
    from session cross join lateral (
        select sequence, token_count, size_bytes, row_number() over oldest as messages,
               sum(token_count) over oldest as tokens, sum(size_bytes) over oldest as bytes
        from messages
        where messages.session_key = asked.wanted and pinned
          and sequence < session.before_sequence and asked.include_pinned
        window oldest as (order by sequence rows unbounded preceding)
    ) as p
    where p.messages <= session.max_messages and p.tokens <= session.token_budget
      and p.bytes <= session.max_bytes"""

_ROOM: Final = """
    select session.*, max_messages - pins.messages as run_messages,
           token_budget - pins.tokens as run_tokens, max_bytes - pins.bytes as run_bytes
    from session cross join (
        select count(*) as messages, coalesce(sum(token_count), 0) as tokens,
               coalesce(sum(size_bytes), 0) as bytes
        from pinned
    ) as pins"""

_MESSAGE: Final = ", ".join(f"m.{name}" for name in MESSAGE_COLUMNS)

_CONTENT: Final = ", ".join(MESSAGE_COLUMNS)

# offset 0: the limits are found once, not for each message.
NEWEST: Final = f"""
select {_MESSAGE}, session.message_count, session.last_sequence, session.omits_unanswered,
       session.max_messages, session.token_budget, asked.place
from {_ASKED} cross join lateral (
    select {_LIMITS}, pinned_count, unpinned_tokens, unpinned_bytes {_FOUND}
      and compacted_through_sequence = 0 and {steps.NONE_IN_SESSION}
    offset 0
) as session left join lateral (
    select sequence from (
        select sequence, token_count, size_bytes, tokens_through, bytes_through from messages
        where messages.session_key = asked.wanted and not pinned
          and (session.unpinned_tokens > session.token_budget or session.unpinned_bytes > session.max_bytes)
        order by sequence desc
        limit session.max_messages
    ) as run
    where session.unpinned_tokens - tokens_through + token_count > session.token_budget
       or session.unpinned_bytes - bytes_through + size_bytes > session.max_bytes
    order by sequence desc
    limit 1
) as boundary on true left join lateral (
    (select {_CONTENT} from messages
     where messages.session_key = asked.wanted and not pinned and sequence >= coalesce(boundary.sequence, 0)
     order by sequence desc
     limit session.max_messages + 1)
    union all
    select {_CONTENT} from (
        select *, sum(size_bytes) over (order by sequence rows unbounded preceding) as bytes
        from messages
        where messages.session_key = asked.wanted and pinned
          and session.pinned_count > 0 and asked.include_pinned
    ) as oldest
    where bytes <= session.max_bytes
) as m on true
"""
"""Reads windows through the newest message of sessions without a summary, steps and whole responses.

It finds no other sessions, and ignores ``before_sequence``, ``max_turns``, and the steps and whole responses
that the server sets.
"""

# begun: A run may begin with this message. A step never cuts away the newest of them.
WHOLE: Final = f"""
select found.*, asked.place
from {_ASKED} cross join lateral (
with named as ({_SESSION}
), session as materialized ({_SESSION_AND_SUMMARY}
), pinned as materialized ({_PINNED}
), room as materialized ({steps.room(_ROOM)}
), boundary as materialized (
    select edge.* from room cross join lateral (
        select run.sequence, {steps.total("run")} as total, run.cut,
               case when asked.max_turns is null then run.sequence + 1
                    else coalesce(run.first_begun, room.before_sequence) end as run_from
        from (
            select summed.*, {steps.CUT} as cut
            from (
                select message.*, 1 + count(begun) over newest as turns, min(begun) over newest as first_begun
                from (
                    select sequence, token_count, tokens_through, {steps.SUMS},
                           case when {steps.BEGINS} then lag(sequence) over newest end as begun
                    from messages
                    where messages.session_key = asked.wanted and not pinned
                      and sequence < room.before_sequence and sequence > room.after_sequence
                    window newest as (order by sequence desc rows unbounded preceding)
                    order by sequence desc
                    limit room.run_messages + 1
                ) as message
                window newest as (order by sequence desc rows unbounded preceding)
            ) as summed
        ) as run
        where run.cut is not null
        order by run.sequence desc
        limit 1
    ) as edge
), about_run as materialized ({steps.ABOUT_RUN}
)
select {_MESSAGE}, coalesce(boundary.cut, room.cut), room.message_count, room.last_sequence,
       room.omits_unanswered, room.summary, room.covered_count, room.covered_tokens,
       about_run.begins_within_row, about_run.facts
from room cross join about_run left join boundary on true left join lateral (
    (select {_CONTENT} from messages
     where messages.session_key = asked.wanted and not pinned
       and sequence >= coalesce(boundary.run_from, room.after_sequence + 1)
       and sequence < room.before_sequence
     order by sequence)
    union all
    select found.* from pinned cross join lateral (
        select {_CONTENT} from messages
        where messages.session_key = asked.wanted and sequence >= pinned.sequence
        order by sequence
        limit 1
    ) as found
    union all
    (select {", ".join(SUMMARY_COLUMNS)} from summaries
     where summaries.session_key = asked.wanted and through_sequence >= room.summary
     order by through_sequence
     limit 1)
) as m on true
order by m.sequence
) as found
"""
"""Reads the windows of all sessions: with their summaries, with steps, with whole turns and responses."""


@lru_cache
def of_one_session(statement: LiteralString) -> LiteralString:
    """Return a statement for one window whose ``session_key`` is a parameter: so Citus knows its machine."""
    return statement.replace("asked.wanted", "%(session_key)s::uuid")
