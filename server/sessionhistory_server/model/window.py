"""Context windows, independent of transport and storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sessionhistory_server.model.message import Message
    from sessionhistory_server.model.summary import Summary


class WindowLimits(NamedTuple):
    """The limits of a window in a request. ``None``: the session's limit, or else the server's."""

    max_messages: int | None = None
    token_budget: int | None = None
    before_sequence: int | None = None
    include_pinned: bool = True
    max_turns: int | None = None
    """The maximum number of turns of the run, each whole; ``None``: the run may begin within a turn."""
    step_tokens: int | None = None
    step_messages: int | None = None
    unanswered_calls: str | None = None
    """``KEEP`` or ``OMIT``."""
    whole_responses: bool | None = None


class Window(NamedTuple):
    """A context window. Its messages have ascending sequences; the message of the summary is one of them."""

    messages: list[Message]
    total_tokens: int
    omitted_message_count: int
    cut: str
    next_before_sequence: int | None
    last_sequence: int
    summary: Summary | None
    tokens_until_move: int | None
    """With at most this many more tokens, the token budget does not move the beginning of the run."""
    messages_until_move: int | None
