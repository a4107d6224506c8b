"""What the client takes and returns: plain, immutable values, all on one page, as they refer to each other.

A field that the server sets is ignored on input. Limits are the contract's: see the fields of the same
names in ``protos/sessionhistory/v1``.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta  # noqa: TC003 - hints are for others to read at run time, too
from enum import StrEnum
from typing import Any, TypedDict

JsonObject = Mapping[str, Any]
"""A JSON object. Integers are exact (above 4,300 digits as ``Decimal``), other numbers are floats."""


class Role(StrEnum):
    """Who a message is from. Equal to the words of the APIs of models: ``Role.USER == "user"``."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    UNKNOWN = "unknown"
    """One that only a newer client knows; never to be sent."""


class MessageStatus(StrEnum):
    """Whether a message was finished."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    """One that only a newer client knows; never to be sent."""


class OnBreak(StrEnum):
    """What becomes of a message that is streamed, if its stream breaks."""

    KEEP = "keep"
    """What had arrived is stored, as ``INTERRUPTED``; if nothing had, nothing."""
    DROP = "drop"
    """Nothing is stored."""


class SessionStatus(StrEnum):
    """Where a session stands. Only an ``ACTIVE`` one takes messages."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ABANDONED = "abandoned"
    UNKNOWN = "unknown"
    """One that only a newer client knows; never to be sent."""


class SessionOrder(StrEnum):
    """The order of a list of sessions, newest first."""

    LAST_ACTIVITY = "last_activity"
    CREATION = "creation"


class HistoryCut(StrEnum):
    """What ended the run of newest messages in a window."""

    NONE = "none"
    MAX_MESSAGES = "max_messages"
    TOKEN_BUDGET = "token_budget"  # noqa: S105 - of a model
    RESPONSE_SIZE = "response_size"
    MAX_TURNS = "max_turns"
    UNKNOWN = "unknown"
    """One that only a newer client knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool; ``arguments`` is the text exactly as the model wrote it."""

    name: str
    arguments: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text, as a part of a message."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPart:
    """A piece of media, as a part of a message: by ``uri``, or its bytes in ``data``."""

    mime_type: str = ""
    uri: str | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class JsonPart:
    """Any JSON value, as a part of a message."""

    value: Any


Part = TextPart | MediaPart | JsonPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a model call used, in tokens as the provider counts them; ``None``: not recorded."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a session.

    ``message_id`` is the idempotency key: whoever appends the same message again gets the stored one. It is
    made with the message, so keep the message and append it again whenever you do not know what became of it.
    """

    role: Role
    content: str | None = None
    """``None`` and empty are kept apart."""
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    name: str = ""
    """Of the speaker or of the tool."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """Of the call that a ``TOOL`` message answers."""
    parts: tuple[Part, ...] = ()
    """Text, media, JSON; kept beside ``content``."""
    payload: bytes = b""
    """A framework's own form of the message, returned exactly."""
    payload_type: str = ""
    """What ``payload`` is: a media type, a class name."""
    metadata: JsonObject | None = None
    """Anything about the message."""
    model: str = ""
    """That made the message."""
    provider: str = ""
    """Of that model."""
    usage: Usage | None = None
    """What the model call used."""
    token_count: int | None = None
    """What it weighs against a token budget; ``None``: counted by the server."""
    pinned: bool = False
    """Keep it in every window, however old."""
    status: MessageStatus = MessageStatus.COMPLETE
    turn_id: str = ""
    """Groups a user's message and all that answers it."""
    send_time: datetime | None = None
    """The caller's own time, with a time zone; kept to the microsecond."""
    sequence: int = 0
    """The place in the session, from 1. Set by the server."""
    create_time: datetime | None = None
    """When it was stored. Set by the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """The limits of a session's windows where a call names none; ``None``: the server's."""

    max_messages: int | None = None
    token_budget: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParent:
    """The session that another one was made from."""

    session_id: str
    """It may have been purged since."""
    sequence: int
    """How far it had come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One conversation."""

    session_id: str = ""
    """Empty on input: one is made."""
    user_id: str = ""
    """The owner; empty: nobody."""
    title: str = ""
    """Never given: the first text of a user, cut at 80 characters."""
    model: str = ""
    """The session talks to; a server may have a token budget for it."""
    status: SessionStatus = SessionStatus.ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)
    """To filter by."""
    metadata: JsonObject | None = None
    """Anything about the session."""
    state: JsonObject | None = None
    """The application's own. ``update_state`` changes parts of it, and keeps the rest to the letter."""
    history_settings: HistorySettings | None = None
    """The limits of its windows."""
    expire_time: datetime | None = None
    """When it ends by itself, with a time zone; this or ``ttl``."""
    ttl: timedelta | None = None
    """The time until then, on input; returned is ``expire_time``."""
    message_count: int = 0
    """Set by the server, as is all that follows."""
    total_tokens: int = 0
    last_sequence: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
    last_message_time: datetime | None = None
    complete_time: datetime | None = None
    delete_time: datetime | None = None
    purge_time: datetime | None = None
    etag: str = ""
    token_counter: str = ""
    """What counts messages without a ``token_count``; ``mixed``: several have."""
    state_version: int = 0
    """How many times the state was set since the session was made."""
    parent: SessionParent | None = None
    """Where it comes from, if it was forked or goes on after a reset."""
    compacted_through_sequence: int = 0
    """The last sequence that a summary covers, 0 if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryOptions:
    """The limits of the window that an append returns; ``None``: the session's, else the server's."""

    max_messages: int | None = None
    token_budget: int | None = None
    include_pinned: bool | None = None
    max_turns: int | None = None
    """At most so many turns of the newest messages, each whole; ``None``: the oldest may be cut anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySummary:
    """What a summary stands for: the unpinned messages up to ``through_sequence``."""

    through_sequence: int
    """The last message that it covers. In a window the summary is the message with this sequence."""
    message_count: int
    """Of those that it covers."""
    total_tokens: int
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A context window, in sequence order."""

    messages: tuple[Message, ...]
    """Among them the summary, if there is one."""
    total_tokens: int
    omitted_message_count: int
    """How many of the session's messages are not in it, those that the summary covers included."""
    cut: HistoryCut
    next_before_sequence: int | None
    """As ``before_sequence`` it leads to the window before this one; ``None``: nothing older is left."""
    last_sequence: int
    summary: HistorySummary | None = None
    """What the summary among the messages covers; ``None``: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSessionResult:
    """The session, and whether this call made it."""

    session: Session
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecountTokensResult:
    """The session with its new numbers, and how many of its messages have another count than before."""

    session: Session
    changed_message_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendMessageResult:
    """The message as stored, and the session's counters after it."""

    session_id: str
    message: Message
    last_sequence: int
    message_count: int
    total_tokens: int
    session_created: bool
    history: History | None
    """The window, if it was asked for."""
    state_version: int | None
    """Of the session's state after it; ``None``: the call had nothing to do with the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendMessagesResult:
    """The messages as stored, and the session's counters after them."""

    session_id: str
    messages: tuple[Message, ...]
    last_sequence: int
    message_count: int
    total_tokens: int
    session_created: bool
    state_version: int | None
    """Of the session's state after them; ``None``: the call had nothing to do with the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkSessionResult:
    """The new session, and whether this call made it."""

    session: Session
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetSessionResult:
    """The new session, and the old one as it is now."""

    session: Session
    previous_session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactHistoryResult:
    """The summary as windows hold it, and what it covers."""

    message: Message
    summary: HistorySummary


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncateHistoryResult:
    """How many messages were removed, and the session's counters after it."""

    removed_message_count: int
    last_sequence: int
    """It stays as it was: the next message gets the one after it."""
    message_count: int
    total_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """A page of sessions; ``next_page_token`` is empty on the last one."""

    sessions: tuple[Session, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """A page of messages; ``next_page_token`` is empty on the last one."""

    messages: tuple[Message, ...]
    next_page_token: str


class SessionUpdate(TypedDict, total=False):
    """What ``update_session`` can change. What is not named stays; ``None`` or empty clears."""

    title: str
    model: str
    status: SessionStatus
    labels: Mapping[str, str]
    metadata: JsonObject | None
    state: JsonObject | None
    history_settings: HistorySettings | None
    expire_time: datetime | None
    ttl: timedelta | None


class SessionFilters(TypedDict, total=False):
    """What ``list_sessions`` can filter by, and its order. All filters must hold."""

    user_id: str | None
    statuses: Collection[SessionStatus]
    labels: Mapping[str, str]
    title_contains: str
    create_time_after: datetime | None
    create_time_before: datetime | None
    active_after: datetime | None
    active_before: datetime | None
    show_deleted: bool
    order_by: SessionOrder


class MessageFilters(TypedDict, total=False):
    """What ``list_messages`` can filter by, and its direction. All filters must hold."""

    user_id: str | None
    descending: bool
    after_sequence: int
    before_sequence: int | None
    roles: Collection[Role]
    create_time_after: datetime | None
    create_time_before: datetime | None
