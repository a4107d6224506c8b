"""Messages, independent of transport and storage.

Times are whole microseconds since the start of 2000 in UTC, as Postgres counts them, unless the name says
otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from sessionhistory_server.model.session import Counters

USER: Final = "USER"
ASSISTANT: Final = "ASSISTANT"
TOOL: Final = "TOOL"
COMPLETE: Final = "COMPLETE"


class ToolCall(NamedTuple):
    """A call of a tool; ``arguments`` is the exact text that the model wrote."""

    id: str
    name: str
    arguments: str


class Media(NamedTuple):
    """A piece of media: exactly one of ``uri`` and ``data`` is set."""

    mime_type: str
    uri: str | None
    data: bytes | None


class Reasoning(NamedTuple):
    """The reasoning of a model, to return unchanged to its provider: ``text`` or ``opaque`` is not empty."""

    text: str
    opaque: str
    signature: str


class Part(NamedTuple):
    """A part of a message's content: exactly one field is set."""

    text: str | None = None
    media: Media | None = None
    json: str | None = None
    reasoning: Reasoning | None = None


class MessageExtras(NamedTuple):
    """The fields that few messages have; each is ``None`` in a message without it.

    ``tool_calls`` and ``parts`` are never empty.
    """

    name: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None
    parts: tuple[Part, ...] | None = None
    payload: bytes | None = None
    payload_type: str | None = None
    metadata: str | None = None
    model: str | None = None
    provider: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    token_count_given: int | None = None
    turn_id: str | None = None
    send_time_nanos: int | None = None


class MessageContent(NamedTuple):
    """The fields of a message that the caller sets. If they are equal, two messages are the same message.

    ``extras`` is ``None`` if the message has none of those fields. An empty ``MessageExtras`` would not equal
    ``None``.
    """

    message_id: str
    role: str
    content: str | None = None
    pinned: bool = False
    status: str = COMPLETE
    extras: MessageExtras | None = None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The message's tool calls, empty if it has none."""
        return (self.extras and self.extras.tool_calls) or ()

    @property
    def tool_call_id(self) -> str | None:
        """The id of the call that it is the result of; empty or ``None``: it names none."""
        return self.extras and self.extras.tool_call_id

    @property
    def parts(self) -> tuple[Part, ...]:
        """The message's parts, empty if it has none."""
        return (self.extras and self.extras.parts) or ()

    @property
    def token_count_given(self) -> int | None:
        """The token count from the caller; ``None`` if the server counts."""
        return self.extras and self.extras.token_count_given


class SentMessage(NamedTuple):
    """A message as the caller sent it. It may have no id, and its tokens are not counted yet."""

    content: MessageContent
    size_bytes: int
    """The largest size that the message can have in a response."""


class NewMessage(NamedTuple):
    """A message to store: it has an id, and its tokens are counted."""

    content: MessageContent
    token_count: int
    size_bytes: int
    """The largest size that the message can have in a response."""


class Message(NamedTuple):
    """A stored message."""

    content: MessageContent
    sequence: int
    token_count: int
    create_time: int
    size_bytes: int


class Appended(NamedTuple):
    """The outcome of an append."""

    messages: list[Message]
    """The messages in order."""
    counters: Counters
    """The session's counters after the append."""
    session_created: bool
    stored_before: bool = False
    """Whether an earlier append has stored the messages."""
    state_version: int | None = None
    """The version of the session's state, if the append has a change of the state."""
    user_id: str | None = None
    """The user of the session, unless ``stored_before``; ``None``: it has none."""
