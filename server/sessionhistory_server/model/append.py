"""Appends, independent of transport and storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory_server.model.message import Appended, SentMessage
    from sessionhistory_server.model.session import SessionContent, StateChange
    from sessionhistory_server.model.window import Window, WindowLimits


class Append(NamedTuple):
    """The append of one or more messages to one session, as a caller requests it."""

    session_id: str
    """Empty: the server makes an id."""
    messages: Sequence[SentMessage]
    new_session: SessionContent | None = None
    """The session to create if the session does not exist; ``None``: the append fails in that case."""
    expected_last_sequence: int | None = None
    keep_through_sequence: int | None = None
    """The messages replace the messages after this sequence; ``None``: they replace nothing."""
    state: StateChange | None = None
    history: WindowLimits | None = None
    """The limits of the window to return after the append; ``None``: return no window."""


class AppendOutcome(NamedTuple):
    """The outcome of an append, with the id of its session, which the server may have made."""

    session_id: str
    appended: Appended
    window: Window | None
    """The session's window after the append, if the caller asked for it."""
