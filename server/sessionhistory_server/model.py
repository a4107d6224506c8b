"""What the service is about: sessions, messages and windows, free of transport and storage.

Times are whole microseconds since the start of 2000 in UTC, as Postgres counts them, unless the name says
otherwise.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ACTIVE: Final = "ACTIVE"
USER: Final = "USER"
TOOL: Final = "TOOL"
COMPLETE: Final = "COMPLETE"

CHARACTERS: Final = "characters"
"""The default token counter."""
MIXED: Final = "mixed"
"""The token counter of a session whose counts come from several."""

TITLE_FROM_MESSAGE_LENGTH: Final = 80


class ToolCall(NamedTuple):
    """A call of a tool; ``arguments`` is the exact text the model wrote."""

    id: str
    name: str
    arguments: str


class Media(NamedTuple):
    """A piece of media: exactly one of ``uri`` and ``data`` is set."""

    mime_type: str
    uri: str | None
    data: bytes | None


class Part(NamedTuple):
    """A part of a message's content: exactly one field is set."""

    text: str | None = None
    media: Media | None = None
    json: str | None = None


class MessageContent(NamedTuple):
    """All that the caller sets of a message; two are the same message if these are equal.

    What most messages have comes first: the rest is ``None`` in most of them, and is looked at as one. Tool
    calls and parts are never empty.
    """

    message_id: str
    role: str
    content: str | None = None
    pinned: bool = False
    status: str = COMPLETE
    name: str | None = None
    tool_call_id: str | None = None
    payload: bytes | None = None
    payload_type: str | None = None
    metadata: str | None = None
    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    token_count_given: int | None = None
    turn_id: str | None = None
    send_time_nanos: int | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    parts: tuple[Part, ...] | None = None


RARE: Final = MessageContent._fields.index("name")
"""From here on a message's content is ``None`` in most messages."""
NOTHING_RARE: Final = MessageContent("", "")[RARE:]


class NewMessage(NamedTuple):
    """A message about to be stored.

    ``token_count`` is in tokens; ``size_bytes`` bounds the message's size in a response from above.
    """

    content: MessageContent
    token_count: int
    size_bytes: int


class Message(NamedTuple):
    """A message as it is stored."""

    content: MessageContent
    sequence: int
    token_count: int
    create_time: int
    size_bytes: int


class SessionContent(NamedTuple):
    """What the caller sets of a session."""

    user_id: str | None = None
    title: str | None = None
    model: str | None = None
    status: str = ACTIVE
    labels: dict[str, str] | None = None
    metadata: str | None = None
    state: str | None = None
    history_max_messages: int | None = None
    history_token_budget: int | None = None
    expire_time: int | None = None
    ttl: int | None = None
    """Microseconds from now; stored as ``expire_time``."""


class Session(NamedTuple):
    """A session as it is stored."""

    session_id: str
    user_id: str | None
    title: str | None
    model: str | None
    status: str
    labels: dict[str, str]
    metadata: str | None
    state: str | None
    history_max_messages: int | None
    history_token_budget: int | None
    message_count: int
    total_tokens: int
    last_sequence: int
    revision: int
    state_version: int
    create_time: int
    update_time: int
    active_time: int
    complete_time: int | None
    delete_time: int | None
    purge_time: int | None
    expire_time: int | None
    token_counter: str
    parent_session_id: str | None
    parent_sequence: int | None
    compacted_through_sequence: int

    @property
    def etag(self) -> str:
        """Differs for each revision, and between sessions that had the same id one after the other."""
        return f"{self.create_time:x}-{self.revision:x}"


class Counters(NamedTuple):
    """A session's counters."""

    last_sequence: int
    message_count: int
    total_tokens: int


class StateChange(NamedTuple):
    """A merge patch of a session's state, ``None``: nothing; and the version that the state must have."""

    patch: str | None
    expected_version: int | None


class Appended(NamedTuple):
    """The outcome of an append: the messages in order, and the session's counters after it.

    ``stored_before``: they were there already. ``state_version``: of an append that changes the state, or
    expects something of it.
    """

    messages: list[Message]
    counters: Counters
    session_created: bool
    stored_before: bool = False
    state_version: int | None = None


class Truncated(NamedTuple):
    """The outcome of a truncation: how many messages were removed, and the session's counters after it."""

    removed_message_count: int
    counters: Counters


class WindowLimits(NamedTuple):
    """The limits of a window as a request names them; ``None`` takes the session's or the server's."""

    max_messages: int | None = None
    token_budget: int | None = None
    before_sequence: int | None = None
    include_pinned: bool = True
    max_turns: int | None = None
    """Of the run, whole ones; ``None``: it may begin in the middle of one."""


class Summary(NamedTuple):
    """A summary, as a message in the place of the last one that it covers, and what it covers."""

    message: Message
    message_count: int
    total_tokens: int


class Window(NamedTuple):
    """A context window, its messages by ascending sequence; the summary's is one of them."""

    messages: list[Message]
    total_tokens: int
    omitted_message_count: int
    cut: str
    next_before_sequence: int | None
    last_sequence: int
    summary: Summary | None
