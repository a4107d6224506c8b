"""Parse recorded conversations. Each line of a file is a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sessionhistory.types import SessionFields
from sessionhistory_cli.client.importing.json_fields import BadFieldError, JsonFields, parse_fields
from sessionhistory_cli.client.importing.message_parser import parse_message, size_bytes

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from sessionhistory.types import Message

# Limits of the service. A batch stays below them, with an overhead for all that is not text.
MAX_BATCH_BYTES: Final = 3 * 1024 * 1024 - 1
MAX_BATCH_MESSAGES: Final = 500
_OVERHEAD_BYTES: Final = 128


class BadRecordingError(ValueError):
    """A line is not a conversation that can be stored. The message quotes nothing of the line."""

    def __init__(self, message: str, conversation_id: str) -> None:
        super().__init__(message)
        self.conversation_id = conversation_id
        """The id of the conversation; empty if it is unknown."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A conversation to store. The ids of its messages derive from their positions."""

    session_id: str
    user_id: str | None
    """The owner of the session; ``None``: it has no owner."""
    session: SessionFields
    messages: tuple[Message, ...]
    unknown_fields: Counter[str]
    """The number of occurrences of each field that a session cannot store, by path."""


def parse_recording(line: bytes, user_id: str | None) -> Recording:
    """Return the conversation of a line.

    Args:
        line: One JSON object, in UTF-8.
        user_id: The owner; ``None``: the owner that the line names.

    Raises:
        BadRecordingError: the line is not a JSON object, or a field is missing, wrong or too large.
    """
    conversation_id = ""
    try:
        fields = parse_fields(line)
        conversation_id = fields.required("conversation_id", str)
        owner = fields.optional("user_id", str) if user_id is None else user_id
        session = _session(fields)
        messages = tuple(_messages(fields))
    except BadFieldError as error:
        raise BadRecordingError(str(error), conversation_id) from error
    return Recording(conversation_id, owner or None, session, messages, fields.unknown())


def batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Split messages into batches that the service accepts."""
    start = size = 0
    for end, one in enumerate(messages):
        more = size_bytes(one) + _OVERHEAD_BYTES * (1 + len(one.tool_calls) + len(one.parts))
        if end - start == MAX_BATCH_MESSAGES or (end > start and size + more > MAX_BATCH_BYTES):
            yield messages[start:end]
            start, size = end, 0
        size += more
    if messages[start:]:
        yield messages[start:]


def _session(fields: JsonFields) -> SessionFields:
    source = fields.optional("source", str)
    return SessionFields(
        application_id=fields.optional("application_id", str) or "",
        title=fields.optional("title", str) or "",
        model=fields.optional("model", str) or "",
        labels={"source": source} if source else {},
    )


def _messages(fields: JsonFields) -> Iterator[Message]:
    found = False
    for place, inner in enumerate(fields.objects("messages"), start=1):
        found = True
        yield parse_message(inner, f"import-{place}")
    if not found:
        raise fields.error("messages", "must have at least one")
