"""Recorded conversations: from the line of a file to what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sessionhistory.cli._fields import BadFieldError, Fields, parse_fields
from sessionhistory.types import Message, Role, Session, ToolCall, Usage

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

# Of the service. Together with the room for all that is not text, a batch of this size is below its limit.
MAX_MESSAGE_BYTES: Final = 1024 * 1024 - 1
MAX_BATCH_BYTES: Final = 3 * 1024 * 1024 - 1
MAX_BATCH_MESSAGES: Final = 500
_OVERHEAD_BYTES: Final = 128

_ROLES: Final = tuple(role for role in Role if role is not Role.UNKNOWN)

# Our names first, then those of the APIs of models.
_USAGE: Final = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cache_read_tokens": ("cache_read_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
}


class BadRecordingError(ValueError):
    """The line is no conversation that can be stored; the message quotes nothing of it."""

    def __init__(self, message: str, conversation_id: str) -> None:
        super().__init__(message)
        self.conversation_id = conversation_id
        """Empty if it is not known."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A conversation to store; each message has an id that is made of its place in it."""

    session: Session
    messages: tuple[Message, ...]
    unknown_fields: Counter[str]
    """How often each field has a value that has no place in a session, by path."""


def parse(line: bytes, user_id: str | None) -> Recording:
    """Return the conversation of a line.

    Args:
        line: One JSON object, in UTF-8.
        user_id: Whose it is to be, whatever the line says; ``None``: whose the line says it is.

    Raises:
        BadRecordingError: it is no JSON object, or a field is missing, wrong or too large.
    """
    conversation_id = ""
    try:
        fields = parse_fields(line)
        conversation_id = fields.required("conversation_id", str)
        session = _session(fields, conversation_id, user_id)
        messages = tuple(_messages(fields))
    except BadFieldError as error:
        raise BadRecordingError(str(error), conversation_id) from error
    return Recording(session, messages, fields.unknown())


def batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Yield the messages in runs that the service takes at once."""
    start = size = 0
    for end, message in enumerate(messages):
        more = _bytes(message) + _OVERHEAD_BYTES * (1 + len(message.tool_calls))
        if end - start == MAX_BATCH_MESSAGES or (end > start and size + more > MAX_BATCH_BYTES):
            yield messages[start:end]
            start, size = end, 0
        size += more
    if messages[start:]:
        yield messages[start:]


def _session(fields: Fields, session_id: str, user_id: str | None) -> Session:
    owner = fields.optional("user_id", str) or ""
    source = fields.optional("source", str)
    return Session(
        session_id=session_id,
        user_id=owner if user_id is None else user_id,
        title=fields.optional("title", str) or "",
        model=fields.optional("model", str) or "",
        labels={"source": source} if source else {},
    )


def _messages(fields: Fields) -> Iterator[Message]:
    found = False
    for place, message in enumerate(fields.objects("messages"), start=1):
        found = True
        yield _message(message, f"import-{place}")
    if not found:
        raise fields.error("messages", "must have at least one")


def _message(fields: Fields, message_id: str) -> Message:
    message = Message(
        message_id=message_id,
        role=_role(fields),
        name=fields.optional("name", str) or "",
        content=fields.optional("content", str),
        tool_calls=tuple(map(_tool_call, fields.objects("tool_calls"))),
        tool_call_id=fields.optional("tool_call_id", str) or "",
        usage=_usage(fields.object("usage")),
        send_time=_time(fields, "created_at"),
    )
    # Refused here, because its conversation's earlier batches would be stored before the service sees it.
    if _bytes(message) > MAX_MESSAGE_BYTES:
        raise fields.error("content", f"too large: a message has at most {MAX_MESSAGE_BYTES} bytes")
    return message


def _role(fields: Fields) -> Role:
    role = fields.required("role", str)
    if role not in _ROLES:
        raise fields.error("role", f"must be one of {', '.join(_ROLES)}")
    return Role(role)


def _tool_call(fields: Fields) -> ToolCall:
    return ToolCall(
        id=fields.optional("id", str) or "",
        name=fields.required("name", str),
        arguments=fields.optional("arguments", str) or "",
    )


def _usage(fields: Fields | None) -> Usage | None:
    if fields is None:
        return None
    found = {name: _first(fields, aliases) for name, aliases in _USAGE.items()}
    return Usage(**found) if any(count is not None for count in found.values()) else None


def _first(fields: Fields, names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := fields.optional(name, int)) is not None), None)


def _time(fields: Fields, name: str) -> datetime | None:
    text = fields.optional(name, str)
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise fields.error(name, "must be a time in ISO 8601") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _bytes(message: Message) -> int:
    """Return the size of a message's text; all else of it is small."""
    texts = [message.content or "", message.name, message.tool_call_id]
    for call in message.tool_calls:
        texts += call.id, call.name, call.arguments
    return sum(len(text.encode(errors="surrogatepass")) for text in texts)
