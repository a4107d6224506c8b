"""The two statements that read windows, made of one template: for most sessions, and for all.

A statement answers for each window that is asked for, in rows: a message's, what cut the run, and what else
``WindowRows`` holds, in its order; then the window's place. A window without messages is one row of nulls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.limits import MAX_WINDOW_MESSAGES
from sessionhistory_server.store import rows
from sessionhistory_server.store.sessions import LIVE

if TYPE_CHECKING:
    from typing import LiteralString

_NO_BUDGET: Final = 2**62


class _Parts(NamedTuple):
    """What the two statements do not share; each part is SQL."""

    asked: LiteralString = ""
    named: LiteralString = "session"
    columns: LiteralString = ""
    condition: LiteralString = "and compacted_through_sequence = 0"
    session: LiteralString = ""
    run_from: LiteralString = "run.sequence + 1"
    last_cut: LiteralString = "else 'RESPONSE_SIZE'"
    before_run: LiteralString = ""
    begun: LiteralString = ""
    after: LiteralString = "0"
    after_run: LiteralString = ""
    too_long: LiteralString = ""
    found: LiteralString = "boundary.cut, room.message_count, room.last_sequence"
    all_columns: LiteralString = "*"
    summary: LiteralString = ""


# pinned:   oldest first; the sums only grow, so that those which fit are a prefix.
# boundary: the newest message that is not in the run, and so the run's lower end. The scan stops at it:
#           a limit outside the one inside, over running totals that need no row but the first and their own.
# Each read of messages asks for an order that one index alone has: without it, and before the tables are
# analyzed, the planner may read a session from end to end.
def _statement(parts: _Parts) -> LiteralString:
    return f"""
select found.*, asked.place
from json_to_recordset(%(asked)s::json) as asked (
    place bigint, wanted uuid, owner text, max_messages bigint, token_budget bigint, before_sequence bigint,
    include_pinned boolean, max_bytes bigint{parts.asked}
) cross join lateral (
with {parts.named} as (
    select session_key, message_count, last_sequence,
           least(coalesce(asked.max_messages, history_max_messages,
                          %(default_max_messages)s::bigint), {MAX_WINDOW_MESSAGES}) as max_messages,
           coalesce(asked.token_budget, history_token_budget,
                    (%(model_token_budgets)s::jsonb ->> model)::bigint,
                    %(default_token_budget)s::bigint, {_NO_BUDGET}) as token_budget,
           asked.max_bytes as max_bytes,
           coalesce(asked.before_sequence, last_sequence + 1) as before_sequence
           {parts.columns}
    from sessions
    where session_key = asked.wanted and (asked.owner is null or user_id = asked.owner) and {LIVE}
          {parts.condition}
){parts.session}, pinned as materialized (
    select p.sequence, p.token_count, p.size_bytes
    from session cross join lateral (
        select sequence, token_count, size_bytes, row_number() over oldest as messages,
               sum(token_count) over oldest as tokens, sum(size_bytes) over oldest as bytes
        from messages
        where messages.session_key = session.session_key and pinned
          and sequence < session.before_sequence and asked.include_pinned
        window oldest as (order by sequence rows unbounded preceding)
    ) as p
    where p.messages <= session.max_messages and p.tokens <= session.token_budget
      and p.bytes <= session.max_bytes
), room as materialized (
    select session.*, max_messages - pins.messages as run_messages,
           token_budget - pins.tokens as run_tokens, max_bytes - pins.bytes as run_bytes
    from session cross join (
        select count(*) as messages, coalesce(sum(token_count), 0) as tokens,
               coalesce(sum(size_bytes), 0) as bytes
        from pinned
    ) as pins
), boundary as materialized (
    select edge.* from room cross join lateral (
        select run.sequence, {parts.run_from} as run_from,
               case when run.messages > room.run_messages then 'MAX_MESSAGES'
                    when run.tokens > room.run_tokens then 'TOKEN_BUDGET'
                    {parts.last_cut} end as cut
        from {parts.before_run} (
            select sequence, row_number() over newest as messages,
                   first_value(tokens_through) over newest - tokens_through + token_count as tokens,
                   first_value(bytes_through) over newest - bytes_through + size_bytes as bytes
                   {parts.begun}
            from messages
            where messages.session_key = room.session_key and not pinned
              and sequence < room.before_sequence and sequence > {parts.after}
            window newest as (order by sequence desc rows unbounded preceding)
            order by sequence desc
            limit room.run_messages + 1
        ) as run {parts.after_run}
        where run.messages > room.run_messages or run.tokens > room.run_tokens
           or run.bytes > room.run_bytes {parts.too_long}
        order by run.sequence desc
        limit 1
    ) as edge
)
select {", ".join(f"m.{name}" for name in rows.FIELDS)}, {parts.found}
from room left join boundary on true left join lateral (
    (select {parts.all_columns} from messages
     where messages.session_key = room.session_key and not pinned
       and sequence >= coalesce(boundary.run_from, {parts.after} + 1) and sequence < room.before_sequence
     order by sequence)
    union all
    select found.* from pinned cross join lateral (
        select {parts.all_columns} from messages
        where messages.session_key = room.session_key and sequence >= pinned.sequence
        order by sequence
        limit 1
    ) as found
    {parts.summary}
) as m on true
order by m.sequence
) as found
"""


PLAIN: Final = _statement(_Parts())
"""For sessions without a summary; the others it does not find. It knows no turns."""

# session: what the summary leaves of the limits, if it fits; it is far smaller than a response. Without that
#          there is no summary, and the run still ends where what it covers begins.
# begun:   A message begins a turn if its turn id is another than that of the message before; where one of the
#          two has none, if it is a user's. That is known, and said, of a message when the next older one is
#          read: then it is that newer message, and of a run the oldest of all those.
WHOLE: Final = _statement(
    _Parts(
        asked=", max_turns bigint",
        named="named",
        columns=", compacted_through_sequence",
        condition="",
        session=""", session as materialized (
    select session_key, message_count, last_sequence, before_sequence,
           max_messages - case when fits then 1 else 0 end as max_messages,
           token_budget - case when fits then token_count else 0 end as token_budget,
           max_bytes - case when fits then size_bytes else 0 end as max_bytes,
           coalesce(through_sequence, 0) as after_sequence,
           case when fits then through_sequence end as summary, covered_count, covered_tokens,
           case when not fits then case when max_messages < 1 then 'MAX_MESSAGES' else 'TOKEN_BUDGET' end
           end as cut
    from named left join lateral (
        select through_sequence, token_count, size_bytes, covered_count,
               token_count <= token_budget and max_messages > 0 as fits
        from summaries
        where summaries.session_key = named.session_key and through_sequence < before_sequence
          and through_sequence <= compacted_through_sequence
        order by through_sequence desc
        limit 1
    ) as summary on true left join lateral (
        select tokens_through as covered_tokens from messages
        where messages.session_key = named.session_key and sequence >= through_sequence
        order by sequence
        limit 1
    ) as covered on fits
)""",
        run_from="""case when asked.max_turns is null then run.sequence + 1
                         else coalesce(run.begun, room.before_sequence) end""",
        last_cut="when run.bytes > room.run_bytes then 'RESPONSE_SIZE' else 'MAX_TURNS'",
        before_run="""(
            select sequence, messages, tokens, bytes, 1 + count(begun) over newest as turns,
                   min(begun) over newest as begun
            from""",
        begun=""",
            case when coalesce(turn_id <> lag(turn_id) over newest, lag(role) over newest = 'USER')
                 then lag(sequence) over newest end as begun""",
        after="room.after_sequence",
        after_run="""
            window newest as (order by sequence desc rows unbounded preceding)
        ) as run""",
        too_long="or run.turns > asked.max_turns",
        found="""coalesce(boundary.cut, room.cut), room.message_count, room.last_sequence,
            room.summary, room.covered_count, room.covered_tokens""",
        all_columns=", ".join(rows.FIELDS),
        summary=f"""
    union all
    (select {rows.SUMMARY_COLUMNS}
     from summaries
     where summaries.session_key = room.session_key and through_sequence >= room.summary
     order by through_sequence
     limit 1)""",
    )
)
"""For any session: with its summary, and of whole turns if that is asked for."""
