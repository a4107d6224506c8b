"""Recorded conversations: from the line of a file to what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sessionhistory.cli._fields import BadFieldError, Fields, parse_fields
from sessionhistory.cli._messages import message, size_bytes
from sessionhistory.types import Session

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from sessionhistory.types import Message

# Of the service. Together with the room for all that is not text, a batch of this size is below its limit.
MAX_BATCH_BYTES: Final = 3 * 1024 * 1024 - 1
MAX_BATCH_MESSAGES: Final = 500
_OVERHEAD_BYTES: Final = 128


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
    for end, one in enumerate(messages):
        more = size_bytes(one) + _OVERHEAD_BYTES * (1 + len(one.tool_calls) + len(one.parts))
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
    for place, inner in enumerate(fields.objects("messages"), start=1):
        found = True
        yield message(inner, f"import-{place}")
    if not found:
        raise fields.error("messages", "must have at least one")
