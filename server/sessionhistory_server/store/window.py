"""The rows of context windows, in one statement, reading no more rows than they hold plus one each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString, NamedTuple

from sessionhistory_server.limits import MAX_WINDOW_MESSAGES
from sessionhistory_server.store import rows
from sessionhistory_server.store.sessions import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sessionhistory_server.model import Message, WindowLimits
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef

_NO_BUDGET: Final = 2**62


class _Parts(NamedTuple):
    """What two statements of one template do not share; each part is SQL."""

    asked: LiteralString
    begins: LiteralString
    run_before: LiteralString
    run_after: LiteralString
    run_from: LiteralString
    too_long: LiteralString
    last_cut: LiteralString


# pinned:   oldest first; the sums only grow, so that those which fit are a prefix.
# boundary: the newest message that is not in the run, and so the run's lower end. The scan stops at it:
#           a limit outside the one inside, over running totals that need no row but the first and their own.
# Each read of messages asks for an order that one index alone has: without it, and before the tables are
# analyzed, the planner may read a session from end to end.
# On one line: the driver keeps what it has made of a statement if that has at most 4,096 characters.
def _statement(parts: _Parts) -> LiteralString:
    return " ".join(
        f"""
select found.*, asked.place
from json_to_recordset(%(asked)s::json) as asked (
    place bigint, wanted uuid, owner text, max_messages bigint, token_budget bigint, before_sequence bigint,
    include_pinned boolean, max_bytes bigint{parts.asked}
) cross join lateral (
with session as (
    select session_key, message_count, last_sequence,
           least(coalesce(asked.max_messages, history_max_messages,
                          %(default_max_messages)s::bigint), {MAX_WINDOW_MESSAGES}) as max_messages,
           coalesce(asked.token_budget, history_token_budget,
                    (%(model_token_budgets)s::jsonb ->> model)::bigint,
                    %(default_token_budget)s::bigint, {_NO_BUDGET}) as token_budget,
           asked.max_bytes as max_bytes,
           coalesce(asked.before_sequence, last_sequence + 1) as before_sequence
    from sessions
    where session_key = asked.wanted and (asked.owner is null or user_id = asked.owner) and {LIVE}
), pinned as materialized (
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
        from {parts.run_before} (
            select sequence, row_number() over newest as messages,
                   first_value(tokens_through) over newest - tokens_through + token_count as tokens,
                   first_value(bytes_through) over newest - bytes_through + size_bytes as bytes
                   {parts.begins}
            from messages
            where messages.session_key = room.session_key and not pinned
              and sequence < room.before_sequence
            window newest as (order by sequence desc rows unbounded preceding)
            order by sequence desc
            limit room.run_messages + 1
        ) as run {parts.run_after}
        where run.messages > room.run_messages or run.tokens > room.run_tokens
           or run.bytes > room.run_bytes {parts.too_long}
        order by run.sequence desc
        limit 1
    ) as edge
)
select {", ".join(f"m.{name}" for name in rows.FIELDS)}, boundary.cut, room.message_count, room.last_sequence
from room left join boundary on true left join lateral (
    (select * from messages
     where messages.session_key = room.session_key and not pinned
       and sequence >= coalesce(boundary.run_from, 0) and sequence < room.before_sequence
     order by sequence)
    union all
    select found.* from pinned cross join lateral (
        select * from messages
        where messages.session_key = room.session_key and sequence >= pinned.sequence
        order by sequence
        limit 1
    ) as found
) as m on true
order by m.sequence
) as found
""".split()
    )


_PLAIN: Final = _statement(
    _Parts(
        asked="",
        begins="",
        run_before="",
        run_after="",
        run_from="run.sequence + 1",
        too_long="",
        last_cut="else 'RESPONSE_SIZE'",
    )
)

# A message begins a turn if its turn id is another than that of the message before; where one of the two has
# none, if it is a user's. That is known, and said, of a message when the next older one is read.
# begun: that newer message, if it begins a turn; then the oldest of all those.
_WHOLE_TURNS: Final = _statement(
    _Parts(
        asked=", max_turns bigint",
        begins=""",
            case when coalesce(turn_id <> lag(turn_id) over newest, lag(role) over newest = 'USER')
                 then lag(sequence) over newest end as begun""",
        run_before="""(
            select sequence, messages, tokens, bytes, 1 + count(begun) over newest as turns,
                   min(begun) over newest as begun
            from""",
        run_after="""
            window newest as (order by sequence desc rows unbounded preceding)
        ) as run""",
        run_from="coalesce(run.begun, room.before_sequence)",
        too_long="or run.turns > asked.max_turns",
        last_cut="when run.bytes > room.run_bytes then 'RESPONSE_SIZE' else 'MAX_TURNS'",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The limits where neither the request nor the session names one.

    ``model_token_budgets``: a JSON object, tokens by model.
    """

    max_messages: int
    token_budget: int | None
    model_token_budgets: str | None


class Asked(NamedTuple):
    """A window that a caller asks for; with all that is in it the response may have ``max_bytes``."""

    ref: SessionRef
    limits: WindowLimits
    max_bytes: int


class WindowRows(NamedTuple):
    """The messages that fit the limits, by ascending sequence, and what ended the run of newest ones."""

    messages: list[Message]
    cut: str | None
    message_count: int
    last_sequence: int


async def read(connection: Connection, asked: Sequence[Asked], defaults: Defaults) -> list[WindowRows | None]:
    """Read windows: the pinned messages and the run of newest others that fit; ``None``: no such session."""
    windows: list[WindowRows | None] = [None] * len(asked)
    plain = [place for place, one in enumerate(asked) if one.limits.max_turns is None]
    in_turns = [place for place, one in enumerate(asked) if one.limits.max_turns is not None]
    for statement, places in ((_PLAIN, plain), (_WHOLE_TURNS, in_turns)):
        if places:
            await _read(connection, statement, asked, places, defaults, windows)
    return windows


async def _read(
    connection: Connection,
    statement: LiteralString,
    asked: Sequence[Asked],
    places: Iterable[int],
    defaults: Defaults,
    windows: list[WindowRows | None],
) -> None:
    """Read the windows at some places of all that are asked, into the same places."""
    parameters = {
        "asked": json.dumps([_record(place, asked[place]) for place in places]),
        "default_max_messages": defaults.max_messages,
        "default_token_budget": defaults.token_budget,
        "model_token_budgets": defaults.model_token_budgets,
    }
    for row in await connection.fetch(statement, parameters):
        place = row[-1]
        window = windows[place]
        if window is None:
            window = windows[place] = WindowRows([], *row[-4:-1])
        if row[0] is not None:  # a window without messages is one row of nulls
            window.messages.append(rows.message_of(row))


def _record(place: int, asked: Asked) -> dict[str, object]:
    return asked.limits._asdict() | {
        "place": place,
        "wanted": asked.ref.session_key,
        "owner": asked.ref.user_id,
        "max_bytes": asked.max_bytes,
    }
