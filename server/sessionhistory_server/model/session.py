"""Sessions, independent of transport and storage.

Times are whole microseconds since the start of 2000 in UTC, as Postgres counts them, unless the name says
otherwise.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ACTIVE: Final = "ACTIVE"


class SessionContent(NamedTuple):
    """The fields of a session that a caller sets, except its id and its owner."""

    application_id: str | None = None
    title: str | None = None
    model: str | None = None
    status: str = ACTIVE
    labels: dict[str, str] | None = None
    metadata: str | None = None
    state: str | None = None
    history_max_messages: int | None = None
    history_token_budget: int | None = None
    history_step_tokens: int | None = None
    history_step_messages: int | None = None
    history_unanswered_calls: str | None = None
    history_whole_responses: bool | None = None
    expire_time: int | None = None
    ttl: int | None = None
    """Microseconds from now; stored as ``expire_time``."""


class Session(NamedTuple):
    """A session as it is stored."""

    session_id: str
    user_id: str | None
    application_id: str | None
    title: str | None
    model: str | None
    status: str
    labels: dict[str, str]
    metadata: str | None
    state: str | None
    history_max_messages: int | None
    history_token_budget: int | None
    history_step_tokens: int | None
    history_step_messages: int | None
    history_unanswered_calls: str | None
    history_whole_responses: bool | None
    message_count: int
    total_tokens: int
    last_sequence: int
    revision: int
    state_version: int
    create_time: int
    update_time: int
    last_activity_time: int
    end_time: int | None
    delete_time: int | None
    purge_time: int | None
    expire_time: int | None
    token_counter: str
    parent_session_id: str | None
    parent_through_sequence: int | None
    compacted_through_sequence: int

    @property
    def etag(self) -> str:
        """The etag: it differs between revisions, and between successive sessions with the same id."""
        return f"{self.create_time:x}-{self.revision:x}"


class Counters(NamedTuple):
    """A session's counters."""

    last_sequence: int
    message_count: int
    total_tokens: int


class StateChange(NamedTuple):
    """A change of a session's state."""

    patch: str | None
    """A JSON merge patch; ``None``: the state stays as it is."""
    expected_version: int | None
    """The version that the state must have; ``None``: any."""


class Truncated(NamedTuple):
    """The outcome of a truncation: the number of removed messages, and the session's counters after it."""

    removed_message_count: int
    counters: Counters
