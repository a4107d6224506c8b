"""Summaries, independent of transport and storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sessionhistory_server.model.message import Message, SentMessage


class Compact(NamedTuple):
    """A summary that a caller wants to store. It covers the unpinned messages through a sequence."""

    session_id: str
    through_sequence: int
    message: SentMessage
    expected_last_sequence: int | None = None
    expected_compacted_through_sequence: int | None = None


class Summary(NamedTuple):
    """A summary as a message with the sequence of the last covered message, and the totals of all covered."""

    message: Message
    message_count: int
    total_tokens: int
