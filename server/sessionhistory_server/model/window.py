"""Context windows, independent of transport and storage."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory_server.model.message import Message
    from sessionhistory_server.model.summary import Summary

_SEQUENCE: Final = attrgetter("sequence")


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


def fit(
    found: Iterable[Message], max_messages: int, token_budget: int, max_bytes: int
) -> tuple[list[Message], str | None]:
    """Return the messages of a window, by ascending sequence, and the limit that cut its run, if one did.

    Args:
        found: The pinned and the newest unpinned messages of a session, in any order: all that may fit, and
            of the others at least the newest unpinned one.
        max_messages: The maximum number of messages.
        token_budget: The maximum of their tokens.
        max_bytes: The maximum of their bytes.
    """
    messages = sorted(found, key=_SEQUENCE)
    pinned = [message for message in messages if message.content.pinned]
    run = [message for message in messages if not message.content.pinned] if pinned else messages
    fitting: list[Message] = []
    for message in pinned:
        tokens, size = token_budget - message.token_count, max_bytes - message.size_bytes
        if max_messages < 1 or tokens < 0 or size < 0:
            break
        max_messages, token_budget, max_bytes = max_messages - 1, tokens, size
        fitting.append(message)
    begin = len(run)
    for message in reversed(run):
        token_budget -= message.token_count
        max_bytes -= message.size_bytes
        if max_messages < 1 or token_budget < 0 or max_bytes < 0:
            break
        max_messages -= 1
        begin -= 1
    cut = _exceeded(max_messages, token_budget) if begin else None
    return (sorted(fitting + run[begin:], key=_SEQUENCE) if fitting else run[begin:]), cut


def _exceeded(messages_left: int, tokens_left: int) -> str:
    if messages_left < 1:
        return "MAX_MESSAGES"
    return "TOKEN_BUDGET" if tokens_left < 0 else "RESPONSE_SIZE"
