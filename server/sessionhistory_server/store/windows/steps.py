"""The parts of the statement ``WHOLE`` that decide where a run begins: limits, steps, turns, whole responses.

A limit cuts the run at the oldest message that fits. A step then moves the beginning to a boundary, so that
successive windows begin with the same message (docs/adr/0047-windows-that-move-in-steps.md). Without a step,
``token_step`` and ``message_step`` are 1, which moves nothing.
"""

from __future__ import annotations

from typing import Final, LiteralString

NONE_IN_SESSION: Final = """
          coalesce(asked.step_tokens, history_step_tokens, 0) = 0
      and coalesce(asked.step_messages, history_step_messages, 0) = 0
      and not coalesce(asked.whole_responses, history_whole_responses, false)"""
"""Whether a session has no steps and no whole responses, if the server sets none."""

OF_SESSION: Final = """
           coalesce(asked.step_tokens, history_step_tokens,
                    (%(model_step_tokens)s::jsonb ->> model)::bigint,
                    %(default_step_tokens)s::bigint) as step_tokens,
           coalesce(asked.step_messages, history_step_messages,
                    %(default_step_messages)s::bigint) as step_messages,
           coalesce(asked.whole_responses, history_whole_responses,
                    %(default_whole_responses)s::boolean) as whole_responses"""

SUMS: Final = """row_number() over newest as messages,
                   first_value(tokens_through) over newest - tokens_through + token_count as tokens,
                   first_value(bytes_through) over newest - bytes_through + size_bytes as bytes"""
"""The running sums from the newest message to the current one, both included."""

# The next newer message begins a turn if its turn id differs from that of this message. If one of the two has
# no turn id, a user's message begins one. Without turns, a run may begin with any message but a result, and
# with whole responses not inside a row of ASSISTANT messages.
BEGINS: Final = """
                           case when asked.max_turns is not null
                                then coalesce(turn_id <> lag(turn_id) over newest,
                                              lag(role) over newest = 'USER')
                                else lag(role) over newest <> 'TOOL'
                                     and not (room.whole_responses and role = 'ASSISTANT'
                                              and lag(role) over newest = 'ASSISTANT') end"""
"""Whether a run may begin with the next newer message, which the scan has read before."""


def total(row: LiteralString) -> LiteralString:
    """Return the unpinned tokens through the newest message, from any row of the scan."""
    return f"({row}.tokens + {row}.tokens_through - {row}.token_count)"


_TOTAL: Final = total("summed")
_STEPPED_TOTAL: Final = f"""(
                {_TOTAL} - room.run_tokens + room.token_step - 1) / room.token_step * room.token_step"""

# The stepped beginning is the first message before which the total is at least the multiple. If the multiple
# falls inside a message that is larger than the step, that message is the beginning.
CUT: Final = f"""
                case when summed.messages > room.run_messages
                       or summed.sequence < room.messages_from and summed.first_begun is not null
                     then 'MAX_MESSAGES'
                     when summed.tokens > room.run_tokens
                       or room.token_step > 1 and summed.first_begun is not null
                          and {_TOTAL} - room.run_tokens > room.covered_tokens
                          and summed.tokens_through - summed.token_count < {_STEPPED_TOTAL}
                          and (summed.token_count <= room.token_step
                               or summed.tokens_through <= {_STEPPED_TOTAL})
                     then 'TOKEN_BUDGET'
                     when summed.bytes > room.run_bytes then 'RESPONSE_SIZE'
                     when summed.turns > asked.max_turns then 'MAX_TURNS' end"""
"""The limit that a message exceeds, or whose step it precedes; null if it is in the run."""

ABOUT_RUN: Final = """
    select case when room.whole_responses then (
               select role = 'ASSISTANT' from messages
               where messages.session_key = asked.wanted and not pinned and sequence > 0
                 and sequence < coalesce(boundary.run_from, room.after_sequence + 1)
               order by sequence desc
               limit 1
           ) end as begins_within_row,
           case when asked.before_sequence is null and (room.step_tokens > 0 or room.step_messages > 0)
                then json_build_array(room.step_tokens, room.step_messages, room.token_step,
                                      room.message_step, room.run_tokens, room.run_messages,
                                      boundary.total, room.covered_tokens)::text
           end as facts
    from room left join boundary on true"""
"""One row: whether the message before the run is an ASSISTANT message, and the fields of ``StepFacts``.

The first is null unless responses are whole. The second is a text, which is parsed once for each window, and
not for each of its messages. It is null without a step, and in a window of the past.
"""


def room(limits: LiteralString) -> LiteralString:
    """Return the query for the limits of the run, with the steps, from a query without the steps.

    If the maximum of messages cuts the run, the run begins at the sequence ``messages_from`` or after it. The
    scan for it stops early if another limit cuts the run where no step of messages reaches.
    """
    return f"""
    select room.*, stepped.messages_from
    from (
        select room.*, greatest(least(step_tokens, run_tokens / 2), 1) as token_step,
               greatest(least(step_messages, run_messages / 2), 1) as message_step
        from ({limits}) as room
    ) as room left join lateral (
        select case when message.messages > room.run_messages
                    then (newer + message_step - 1) / message_step * message_step end as messages_from
        from (
            select sequence, lag(sequence) over newest as newer, {SUMS}
            from messages
            where messages.session_key = asked.wanted and not pinned
              and sequence < room.before_sequence and sequence > room.after_sequence and message_step > 1
            window newest as (order by sequence desc rows unbounded preceding)
            order by sequence desc
            limit room.run_messages + 1
        ) as message
        where message.messages > room.run_messages
           or (message.tokens > room.run_tokens or message.bytes > room.run_bytes)
              and message.messages <= room.run_messages - message_step
        order by message.sequence desc
        limit 1
    ) as stepped on true"""
