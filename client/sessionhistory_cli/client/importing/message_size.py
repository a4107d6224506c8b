"""The size of messages and the text in them, and the rules of the service for both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sessionhistory.types import JsonPart, MediaPart, ReasoningPart, TextPart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.types import Message, Part

# A limit of the service.
MAX_MESSAGE_BYTES: Final = 1024 * 1024 - 1

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def problem_of(message: Message) -> str:
    """Return the rule that a message breaks because of its size or its text; empty if it breaks none.

    The import asks before it stores a conversation, because the service would store earlier batches of it.
    """
    if size_bytes(message) > MAX_MESSAGE_BYTES:
        return f"too large: a message has at most {MAX_MESSAGE_BYTES} bytes"
    return next((rule for piece in _pieces(message) if (rule := text_problem(piece))), "")


def text_problem(text: object) -> str:
    """Return the rule that a text breaks; empty if it breaks none, or is bytes."""
    if isinstance(text, bytes):
        return ""
    if not isinstance(text, str):  # the formats copy what a file has
        return "must be text"
    if "\0" in text:
        return "must not contain a NUL character (U+0000)"
    return "must be valid Unicode" if _SURROGATE.search(text) else ""


def size_bytes(message: Message) -> int:
    """Return the size of a message's text and media; the rest of a message is small."""
    return sum(map(_size, _pieces(message)))


def _size(piece: object) -> int:
    if isinstance(piece, str):
        return len(piece.encode(errors="surrogatepass"))
    return len(piece) if isinstance(piece, bytes) else 0


def _pieces(message: Message) -> Iterator[str | bytes]:
    yield from (message.content or "", message.name, message.tool_call_id, message.payload)
    if message.metadata is not None:
        yield str(message.metadata)
    for call in message.tool_calls:
        yield from (call.id, call.name, call.arguments)
    for part in message.parts:
        yield from _pieces_of(part)


def _pieces_of(part: Part) -> tuple[str | bytes, ...]:
    match part:
        case TextPart(text):
            return (text,)
        case ReasoningPart(text, opaque=opaque, signature=signature):
            return (text, opaque, signature)
        case MediaPart(mime_type=mime_type, uri=uri, data=data):
            return (mime_type, uri or "", data or b"")
        case JsonPart(value):
            return (str(value),)
