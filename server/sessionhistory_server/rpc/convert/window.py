"""Convert context windows, their limits and their summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.rpc.convert import message as messages
from sessionhistory_server.rpc.convert.fields import enum_names, optional
from sessionhistory_server.rpc.convert.times import timestamp

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory.v1 import session_pb2 as spb
    from sessionhistory_server.model.summary import Summary
    from sessionhistory_server.model.window import Window

_CUT_NUMBERS: Final[dict[str, Any]] = {
    name: value for value, name in enum_names(hpb.HistoryCut, "HISTORY_CUT_").items()
}

_UNANSWERED_CALLS: Final = enum_names(hpb.UnansweredCalls, "UNANSWERED_CALLS_")
UNANSWERED_CALLS_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _UNANSWERED_CALLS.items()}
"""The numbers of ``UnansweredCalls`` in the contract, by their names."""


def unanswered_calls(options: hpb.HistoryOptions | pb.GetHistoryRequest | spb.HistorySettings) -> str | None:
    """Return ``KEEP`` or ``OMIT``; ``None`` if a request or a session sets neither."""
    value = options.unanswered_calls
    return _UNANSWERED_CALLS[value] if value else None


def window_limits(
    options: hpb.HistoryOptions | pb.GetHistoryRequest, before_sequence: int | None = None
) -> WindowLimits:
    """Return the limits of a window that a request names."""
    return WindowLimits(
        optional(options, "max_messages"),
        optional(options, "token_budget"),
        before_sequence,
        not options.HasField("include_pinned") or options.include_pinned,
        optional(options, "max_turns"),
        optional(options, "step_tokens"),
        optional(options, "step_messages"),
        unanswered_calls(options),
        optional(options, "whole_responses"),
    )


def show_window(window: Window, shown: hpb.History) -> None:
    """Fill a window into a history of a response, because a separate object would have to be copied."""
    shown.total_tokens = window.total_tokens
    shown.omitted_message_count = window.omitted_message_count
    shown.cut = _CUT_NUMBERS[window.cut]
    if window.next_before_sequence is not None:
        shown.next_before_sequence = window.next_before_sequence
    shown.last_sequence = window.last_sequence
    if window.tokens_until_move is not None:
        shown.tokens_until_move = window.tokens_until_move
    if window.messages_until_move is not None:
        shown.messages_until_move = window.messages_until_move
    add, show_message = shown.messages.add, messages.show_message
    for stored in window.messages:
        show_message(stored, add())
    if window.summary is not None:
        show_summary(window.summary, shown.summary)


def show_summary(summary: Summary, shown: hpb.HistorySummary) -> None:
    """Fill in the totals of the messages that a summary covers."""
    covered = summary.message
    shown.MergeFrom(
        hpb.HistorySummary(
            through_sequence=covered.sequence,
            message_count=summary.message_count,
            total_tokens=summary.total_tokens,
            create_time=timestamp(covered.create_time),
        )
    )
