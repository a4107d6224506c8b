"""Encode the limits and options of a context window; decode the window and its summary."""

from __future__ import annotations

from sessionhistory import types
from sessionhistory._codec.enums import HISTORY_CUTS, UNANSWERED_CALLS
from sessionhistory._codec.fields import below, build, optional, require_type
from sessionhistory._codec.message import decode_message
from sessionhistory._codec.times import decode_time
from sessionhistory.v1 import history_pb2


def encode_history_options(
    options: types.HistoryOptions | None, path: str
) -> history_pb2.HistoryOptions | None:
    """Encode the limits and options of the window that an append returns."""
    if options is None:
        return None
    require_type(options, types.HistoryOptions, path)
    return build(
        history_pb2.HistoryOptions,
        path,
        max_messages=options.max_messages,
        token_budget=options.token_budget,
        include_pinned=options.include_pinned,
        max_turns=options.max_turns,
        step_tokens=options.step_tokens,
        step_messages=options.step_messages,
        unanswered_calls=UNANSWERED_CALLS.encode_optional(
            options.unanswered_calls, below(path, "unanswered_calls")
        ),
        whole_responses=options.whole_responses,
    )


def decode_history(source: history_pb2.History) -> types.History:
    """Decode a window."""
    return types.History(
        messages=tuple(map(decode_message, source.messages)),
        total_tokens=source.total_tokens,
        omitted_message_count=source.omitted_message_count,
        cut=HISTORY_CUTS.decode(source.cut),
        next_before_sequence=optional(source, "next_before_sequence"),
        last_sequence=source.last_sequence,
        summary=decode_history_summary(source.summary) if source.HasField("summary") else None,
        tokens_until_move=optional(source, "tokens_until_move"),
        messages_until_move=optional(source, "messages_until_move"),
    )


def decode_history_summary(source: history_pb2.HistorySummary) -> types.HistorySummary:
    """Decode the totals of the messages that a summary covers."""
    return types.HistorySummary(
        through_sequence=source.through_sequence,
        message_count=source.message_count,
        total_tokens=source.total_tokens,
        create_time=decode_time(source.create_time),
    )
