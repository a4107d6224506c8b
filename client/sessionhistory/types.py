"""The values that the client takes and returns. They are plain and immutable.

Their order is: enums, messages, sessions, histories, results of calls, arguments of calls. The client does
not send the fields that the server sets. The limits of the fields are in the contract, below the same names:
``protos/sessionhistory/v1``.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta  # noqa: TC003 - other programs may read the hints at run time
from enum import StrEnum
from typing import Any, TypedDict

JsonObject = Mapping[str, Any]
"""A JSON object. Integers are exact (above 4,300 digits as ``Decimal``), other numbers are floats."""


class Role(StrEnum):
    """The author of a message. Members equal the words of the APIs of models: ``Role.USER == "user"``."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    UNKNOWN = "unknown"
    """A value that only a newer client knows. It cannot be sent."""


class MessageStatus(StrEnum):
    """Whether a message was finished."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    """A value that only a newer client knows. It cannot be sent."""


class OnBreak(StrEnum):
    """Whether the server keeps a streamed message if its stream breaks."""

    KEEP = "keep"
    """The server stores the part that has arrived as ``INTERRUPTED``, if any part has."""
    DROP = "drop"
    """The server stores nothing."""


class SessionStatus(StrEnum):
    """Whether a session continues. Only an ``ACTIVE`` session takes messages."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ABANDONED = "abandoned"
    UNKNOWN = "unknown"
    """A value that only a newer client knows. It cannot be sent."""


class SessionOrder(StrEnum):
    """The order of a list of sessions: by a time, with the latest or the earliest first."""

    LAST_ACTIVITY_TIME_DESC = "last_activity_time_desc"
    CREATE_TIME_DESC = "create_time_desc"
    LAST_ACTIVITY_TIME_ASC = "last_activity_time_asc"
    CREATE_TIME_ASC = "create_time_asc"


class MessageOrder(StrEnum):
    """The order of a list of messages: the oldest or the newest first."""

    SEQUENCE_ASC = "sequence_asc"
    SEQUENCE_DESC = "sequence_desc"


class UnansweredCalls(StrEnum):
    """Whether a history keeps a message if one of its tool calls has no result in the history."""

    KEEP = "keep"
    """The message stays."""
    OMIT = "omit"
    """The message is left out, with the results of its other calls, also while one of its calls runs."""
    UNKNOWN = "unknown"
    """A value that only a newer client knows. It cannot be sent."""


class HistoryCut(StrEnum):
    """The limit that excluded older messages from a history."""

    NONE = "none"
    MAX_MESSAGES = "max_messages"
    TOKEN_BUDGET = "token_budget"  # noqa: S105 - of a model
    RESPONSE_SIZE = "response_size"
    MAX_TURNS = "max_turns"
    UNKNOWN = "unknown"
    """A value that only a newer client knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool. ``arguments`` is the text exactly as the model wrote it."""

    name: str
    arguments: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text, as a part of a message."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPart:
    """An image, a sound or a document, as a part of a message: its ``uri``, or its bytes in ``data``."""

    mime_type: str = ""
    uri: str | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class JsonPart:
    """Any JSON value, as a part of a message."""

    value: Any


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """The reasoning of a model before its answer, as a part of a message: ``text``, ``opaque``, or both.

    Providers want it back unchanged, so the server returns it exactly as it was sent.
    """

    text: str = ""
    """The text that people can read, or the provider's summary of it."""
    opaque: str = field(default="", kw_only=True)
    """Content that only the provider can read, as the provider encodes it: encrypted or redacted."""
    signature: str = field(default="", kw_only=True)
    """The provider's signature of the text, as the provider encodes it; empty if there is none."""


Part = TextPart | MediaPart | JsonPart | ReasoningPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens that a model call used, as the provider counts them; ``None``: not recorded."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a session.

    ``message_id`` is the idempotency key: appending the same message again returns the stored one. The id is
    made with the message. If you do not know whether an append succeeded, append the same ``Message`` again.
    """

    role: Role
    content: str | None = None
    """``None`` and empty text are different values."""
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    name: str = ""
    """The name of the speaker or of the tool."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """The id of the tool call that a ``TOOL`` message answers."""
    parts: tuple[Part, ...] = ()
    """Text, media, JSON and reasoning, stored beside ``content``."""
    payload: bytes = b""
    """A framework's own form of the message. The server returns it exactly."""
    payload_type: str = ""
    """The type of ``payload``, such as a media type or a class name."""
    metadata: JsonObject | None = None
    """Any data about the message."""
    model: str = ""
    """The model that made the message."""
    provider: str = ""
    """The provider of that model."""
    usage: Usage | None = None
    """The tokens that the model call used."""
    token_count: int | None = None
    """The tokens of the message for a token budget; ``None``: the server counts them."""
    pinned: bool = False
    """Whether every history includes the message, however old it is."""
    status: MessageStatus = MessageStatus.COMPLETE
    turn_id: str = ""
    """The id of the turn: the same for a user's message and all messages that answer it."""
    send_time: datetime | None = None
    """The caller's own time, with a time zone, stored to the microsecond."""
    finish_reason: str = ""
    """The reason why the model ended the message, in the provider's own word: ``"stop"``, ``"length"``."""
    sequence: int = 0
    """The place in the session, from 1. Set by the server."""
    create_time: datetime | None = None
    """When the message was stored. Set by the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """The limits and options of a session's histories, for calls that set none; ``None``: the server's."""

    max_messages: int | None = None
    """At most this many messages, pinned ones included: 0 to 1,000."""
    token_budget: int | None = None
    """At most this many tokens, 0 or more, pinned messages included."""
    step_tokens: int | None = None
    """If ``token_budget`` cuts, begin at a multiple of this many tokens; 0: at the oldest that fits."""
    step_messages: int | None = None
    """If ``max_messages`` cuts, begin at a sequence divisible by this; 0: at the oldest that fits."""
    unanswered_calls: UnansweredCalls | None = None
    """Whether a message stays if one of its tool calls has no result in the history."""
    whole_responses: bool | None = None
    """Whether a history never begins inside a row of ``ASSISTANT`` messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFields:
    """The fields of a new session that a caller sets. The ids of the session and its owner are arguments."""

    application_id: str = ""
    """The application that the session belongs to, if several share the service. It never changes."""
    title: str = ""
    """A title for people. If empty, the server uses the first text of a user, at most 80 code points."""
    model: str = ""
    """The model that the session talks to. The server may have a token budget for it."""
    status: SessionStatus = SessionStatus.ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels to filter sessions by."""
    metadata: JsonObject | None = None
    """Any data about the session."""
    state: JsonObject | None = None
    """The state that the application keeps. ``update_state`` changes parts of it and leaves the rest."""
    history_settings: HistorySettings | None = None
    """The limits and options of the session's histories."""
    expire_time: datetime | None = None
    """When the session expires, with a time zone. Set this or ``ttl``; without both it never expires."""
    ttl: timedelta | None = None
    """The time until the session expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParent:
    """The session that another one was created from."""

    session_id: str
    """The id of that session, which may have been purged since."""
    through_sequence: int
    """The last sequence that was copied; after a reset, the last sequence of that session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A conversation, as the service returns it. To create a session, pass ``SessionFields``."""

    session_id: str
    user_id: str = ""
    """The owner; empty if the session has none."""
    application_id: str = ""
    """The application that the session belongs to; empty if it belongs to none."""
    title: str = ""
    """A title for people, from the caller or from the first text of a user. A cleared title stays empty."""
    model: str = ""
    """The model that the session talks to."""
    status: SessionStatus = SessionStatus.ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: JsonObject | None = None
    state: JsonObject | None = None
    """The state that the application keeps."""
    history_settings: HistorySettings | None = None
    """The limits and options of the session's histories; ``None``: the server's."""
    message_count: int = 0
    total_tokens: int = 0
    last_sequence: int = 0
    create_time: datetime
    update_time: datetime
    """The time of the last change of the session itself, not of its messages."""
    last_activity_time: datetime
    """The time when a message was last stored; ``create_time`` if none was."""
    end_time: datetime | None = None
    """The time when the session became ``COMPLETED`` or ``ABANDONED``; ``None`` while it is ``ACTIVE``."""
    delete_time: datetime | None = None
    purge_time: datetime | None = None
    """The earliest time at which the server permanently removes a deleted or expired session."""
    expire_time: datetime | None = None
    """When the session expires; ``None``: never."""
    etag: str = ""
    token_counter: str = ""
    """The counter of the messages that came without a ``token_count``; ``mixed``: several counters."""
    state_version: int = 0
    """The number of times that the state was set after the session was created."""
    parent: SessionParent | None = None
    """The session that this one was created from, by ``fork_session`` or ``reset_session``."""
    compacted_through_sequence: int = 0
    """The last sequence that the summary covers; 0 if there is no summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryOptions:
    """The limits and options of the history that an append returns.

    ``None``: the session's, else the server's. ``get_history`` takes the same as arguments.
    """

    max_messages: int | None = None
    """At most this many messages, pinned ones included: 0 to 1,000; the server's default: 20."""
    token_budget: int | None = None
    """At most this many tokens, 0 or more, pinned messages included; the server's default: no limit."""
    include_pinned: bool | None = None
    """Whether to include pinned messages; ``None``: include them."""
    max_turns: int | None = None
    """At most this many turns of the newest messages, each whole; ``None``: the oldest turn may be cut."""
    step_tokens: int | None = None
    """If ``token_budget`` cuts, begin at a multiple of this many tokens, 0 or more.

    Successive histories then begin with the same messages, so that the provider's prompt cache keeps them.
    The server counts the tokens from the session's first unpinned message. A step above half of the tokens
    that the budget leaves beside summary and pinned messages counts as that half. 0, the server's default:
    begin at the oldest message that fits.
    """
    step_messages: int | None = None
    """If ``max_messages`` cuts, begin at a sequence that is a multiple of this, 0 or more.

    A step above half of the messages that the limit leaves beside summary and pinned messages counts as that
    half. 0, the server's default: begin at the oldest message that fits.
    """
    unanswered_calls: UnansweredCalls | None = None
    """Whether a message stays if one of its tool calls has no result; the server's default: ``KEEP``."""
    whole_responses: bool | None = None
    """Whether the history never begins inside a row of ``ASSISTANT`` messages.

    The server leaves out the rest of such a row, with its tool results. The server's default: ``False``.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySummary:
    """The messages that a summary covers: the unpinned messages up to ``through_sequence``."""

    through_sequence: int
    """The last message that it covers. In a history the summary is the message with this sequence."""
    message_count: int
    """The number of messages that it covers."""
    total_tokens: int
    """The tokens of the messages that it covers."""
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The messages for a model, in sequence order."""

    messages: tuple[Message, ...]
    """The messages, and among them the summary, if there is one."""
    total_tokens: int
    omitted_message_count: int
    """The number of the session's messages that it leaves out, including those that the summary covers."""
    cut: HistoryCut
    next_before_sequence: int | None
    """The ``before_sequence`` for the history before this one; ``None``: there are no older messages."""
    last_sequence: int
    summary: HistorySummary | None = None
    """The messages that the summary in ``messages`` covers; ``None`` if there is no summary."""
    tokens_until_move: int | None = None
    """With at most this many tokens more, the token budget does not move the beginning.

    ``None`` without a step, without a token budget, and with ``before_sequence``.
    """
    messages_until_move: int | None = None
    """With at most this many messages more, ``max_messages`` does not move the beginning.

    0: the beginning moves with every message, because a limit without a step cuts. ``None`` without a step,
    and with ``before_sequence``.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSessionResult:
    """The session, and whether this call created it."""

    session: Session
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureActiveSessionResult:
    """The user's active session, and whether this call created it."""

    session: Session
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecountTokensResult:
    """The session with its new numbers, and the number of its messages whose counts have changed."""

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
    """The history with the new message, if the caller asked for it."""
    state_version: int | None
    """The version of the state after the call; ``None``: the call did not use the state."""


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
    """The version of the state after the call; ``None``: the call did not use the state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkSessionResult:
    """The new session, and whether this call created it."""

    session: Session
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetSessionResult:
    """The new session, and the old one after the call."""

    session: Session
    previous_session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactHistoryResult:
    """The summary as it is in histories, and the messages that it covers."""

    message: Message
    summary: HistorySummary


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncateMessagesResult:
    """The number of removed messages, and the session's counters after the truncation."""

    removed_message_count: int
    last_sequence: int
    """A truncation does not change it. The next message gets the sequence after it."""
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


class Scope(StrEnum):
    """A right of an API key."""

    READ = "read"
    """To call the methods that change nothing."""
    WRITE = "write"
    """To call the methods that change sessions and messages."""
    ADMIN = "admin"
    """To create, list, rotate and revoke keys."""
    UNKNOWN = "unknown"
    """A value that only a newer client knows. It cannot be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key of the caller's tenant, without its secret. A time is ``None`` if it has no value."""

    api_key_id: str
    display_name: str
    scopes: tuple[Scope, ...]
    user_id: str | None
    """The user that the key is bound to."""
    application_id: str | None
    """The application that the key is bound to."""
    require_user_id: bool
    """Whether each call with the key must name the user that it acts for."""
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None
    last_use_time: datetime | None
    """At most about a minute late."""
    previous_secret_expire_time: datetime | None
    """Until when the secret before the last rotation is accepted."""
    certificate_name: str | None
    """The name in client certificates that stands in for a secret: ``URI:…`` or ``DNS:…``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeySecret:
    """A new secret of an API key. The server does not return it again."""

    api_key: ApiKey
    secret: str = field(repr=False)
    """The whole key, as the argument ``key`` of a client takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyPage:
    """A page of API keys; ``next_page_token`` is empty on the last one."""

    api_keys: tuple[ApiKey, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedToken:
    """A JSON Web Token of the caller's tenant that is refused."""

    token_id: str
    user_id: str | None
    """The user whose token alone is refused; ``None``: the token of any user."""
    application_id: str | None
    """The application whose token alone is refused; ``None``: the token of any application."""
    expire_time: datetime
    refuse_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedTokenPage:
    """A page of refused tokens; ``next_page_token`` is empty on the last one."""

    refused_tokens: tuple[RefusedToken, ...]
    next_page_token: str


class SessionUpdate(TypedDict, total=False):
    """The fields that ``update_session`` can change. Other fields stay; ``None`` or empty clears a field."""

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
    """The filters and the order of ``list_sessions``. A session must match all filters."""

    user_id: str | None
    application_id: str | None
    statuses: Collection[SessionStatus]
    labels: Mapping[str, str]
    title_contains: str
    create_time_after: datetime | None
    create_time_before: datetime | None
    last_activity_time_after: datetime | None
    last_activity_time_before: datetime | None
    show_deleted: bool
    order_by: SessionOrder


class MessageFilters(TypedDict, total=False):
    """The filters and the order of ``list_messages``. A message must match all filters."""

    user_id: str | None
    order_by: MessageOrder
    after_sequence: int
    before_sequence: int | None
    roles: Collection[Role]
    create_time_after: datetime | None
    create_time_before: datetime | None
