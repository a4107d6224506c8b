"""Parse the messages of recorded conversations, in the format of the import or of OpenAI's API."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sessionhistory.types import MediaPart, Message, Part, ReasoningPart, Role, TextPart, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_cli.client.importing.json_fields import JsonFields

# A limit of the service.
MAX_MESSAGE_BYTES: Final = 1024 * 1024 - 1

_ROLES: Final = tuple(role for role in Role if role is not Role.UNKNOWN)

# The names of the import's format first, then those of the APIs of models.
_USAGE: Final = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cache_read_tokens": ("cache_read_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
}

_DATA_URL: Final = re.compile(r"data:(?P<mime_type>[^;,]*)(?:;[^;,]*)*;base64,")


def parse_message(fields: JsonFields, message_id: str) -> Message:
    """Return the message of a JSON object.

    Raises:
        BadFieldError: a field is missing, wrong or too large.
    """
    content, parts = _content(fields)
    found = Message(
        message_id=message_id,
        role=_role(fields),
        name=fields.optional("name", str) or "",
        content=content,
        parts=(*_reasoning(fields), *parts),
        tool_calls=tuple(map(_tool_call, fields.objects("tool_calls"))),
        tool_call_id=fields.optional("tool_call_id", str) or "",
        finish_reason=fields.optional("finish_reason", str) or "",
        usage=_usage(fields.object("usage")),
        send_time=_time(fields, "created_at"),
    )
    # Checked here, because the service would store earlier batches of the conversation before it refuses this
    # one.
    if size_bytes(found) > MAX_MESSAGE_BYTES:
        raise fields.error("content", f"too large: a message has at most {MAX_MESSAGE_BYTES} bytes")
    return found


def size_bytes(message: Message) -> int:
    """Return the size of a message's text and media; the rest of a message is small."""
    return sum(len(piece.encode() if isinstance(piece, str) else piece) for piece in _pieces(message))


def _pieces(message: Message) -> Iterator[str | bytes]:
    yield from (message.content or "", message.name, message.tool_call_id)
    for call in message.tool_calls:
        yield from (call.id, call.name, call.arguments)
    for part in message.parts:
        match part:
            case TextPart(text):
                yield text
            case ReasoningPart(text):
                yield text
            case MediaPart(mime_type=mime_type, uri=uri, data=data):
                yield from (mime_type, uri or "", data or b"")


def _role(fields: JsonFields) -> Role:
    role = fields.required("role", str)
    if role not in _ROLES:
        raise fields.error("role", f"must be one of {', '.join(_ROLES)}")
    return Role(role)


def _content(fields: JsonFields) -> tuple[str | None, tuple[Part, ...]]:
    """Return the content, which may be a list of parts instead of text."""
    if fields.has_type("content", list):
        return None, tuple(map(_part, fields.objects("content")))
    if not fields.has_type("content", str, type(None)):
        raise fields.error("content", "must be text or a list of parts")
    return fields.optional("content", str), ()


def _reasoning(fields: JsonFields) -> Iterator[Part]:
    """Yield the reasoning of the model, if there is any."""
    if text := fields.optional("reasoning_content", str):
        yield ReasoningPart(text)


def _part(fields: JsonFields) -> Part:
    match fields.required("type", str):
        case "text":
            return TextPart(fields.required("text", str))
        case "image_url":
            return _media(fields.required_object("image_url"))
    raise fields.error("type", "must be text or image_url")


def _media(fields: JsonFields) -> MediaPart:
    """Return an image by its URL, or with the bytes of a data URL."""
    url = fields.required("url", str)
    data_url = _DATA_URL.match(url)
    if not data_url:
        return MediaPart(uri=url)
    try:
        data = base64.b64decode(url[data_url.end() :], validate=True)
    except binascii.Error:
        raise fields.error("url", "must be in base64 after the comma") from None
    return MediaPart(mime_type=data_url["mime_type"], data=data)


def _tool_call(fields: JsonFields) -> ToolCall:
    call_id = fields.optional("id", str) or ""
    if fields.optional("type", str) not in (None, "function"):
        raise fields.error("type", "must be function")
    function = fields.object("function") or fields
    return ToolCall(
        id=call_id,
        name=function.required("name", str),
        arguments=function.optional("arguments", str) or "",
    )


def _usage(fields: JsonFields | None) -> Usage | None:
    if fields is None:
        return None
    found = {name: _first(fields, aliases) for name, aliases in _USAGE.items()}
    return Usage(**found) if any(count is not None for count in found.values()) else None


def _first(fields: JsonFields, names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := fields.optional(name, int)) is not None), None)


def _time(fields: JsonFields, name: str) -> datetime | None:
    text = fields.optional(name, str)
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise fields.error(name, "must be a time in ISO 8601") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
