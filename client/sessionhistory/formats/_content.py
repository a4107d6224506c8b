"""The content of messages, JSON, and data URLs, as all formats need them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.types import JsonPart, MediaPart, ReasoningPart, TextPart

if TYPE_CHECKING:
    from sessionhistory.types import Message

Body = TextPart | MediaPart
"""A part of a message as an API takes it: JSON is text for an API."""

Json = dict[str, Any]

_DATA_URL: Final = re.compile(r"data:(?P<mime_type>[^;,]*)(?:;[^;,]*)*;base64,")


def body(message: Message) -> list[Body]:
    """Return the content, then the parts in order, without reasoning and without empty texts."""
    found = [TextPart(message.content or ""), *map(_as_body, message.parts)]
    return [part for part in found if part is not None and part != TextPart("")]


def _as_body(part: TextPart | MediaPart | JsonPart | ReasoningPart) -> Body | None:
    match part:
        case JsonPart(value):
            return TextPart(dumped(value))
        case ReasoningPart():
            return None
    return part


def reasoning(message: Message) -> list[ReasoningPart]:
    """Return the reasoning of a message."""
    return [part for part in message.parts if isinstance(part, ReasoningPart)]


def loaded(source: Json | str | bytes) -> Json:
    """Return the object of a request, a response or an event: itself, JSON text, or its bytes.

    Raises:
        ValueError: it is no JSON object.
    """
    found = json.loads(source) if isinstance(source, str | bytes) else source
    if not isinstance(found, dict):
        raise ValueError("a request, a response and an event are JSON objects: pass one of an API")  # noqa: TRY004
    return found


def objects(value: object) -> list[Json]:
    """Return the objects of a list of any request. An item that is no object becomes an empty one."""
    found = value if isinstance(value, list) else []
    return [one if isinstance(one, dict) else {} for one in found]


def dumped(value: object) -> str:
    """Return a value as JSON text: compact, not escaped, names in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def payload_of(item: object) -> bytes:
    """Return a provider's item as the bytes of a payload."""
    return dumped(item).encode("utf-8", "backslashreplace")


def item_of(message: Message, payload_type: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the item in the payload of a message, if its type is this one and it is JSON; else ``None``."""
    if message.payload_type != payload_type:
        return None
    try:
        return json.loads(message.payload)
    except (ValueError, RecursionError):
        return None


def data_url(part: MediaPart) -> str:
    """Return the URI of a medium, or a data URL with its bytes."""
    if part.uri is not None:
        return part.uri
    return f"data:{part.mime_type};base64,{base64_of(part)}"


def base64_of(part: MediaPart) -> str:
    """Return the bytes of a medium in base64."""
    return base64.b64encode(part.data or b"").decode()


def media_of(url: str) -> MediaPart:
    """Return the medium of a URL: the bytes of a data URL, or the URL itself."""
    match = _DATA_URL.match(url)
    if match:
        try:
            data = base64.b64decode(url[match.end() :], validate=True)
        except binascii.Error:
            return MediaPart(uri=url)
        made = MediaPart(mime_type=match["mime_type"], data=data)
        if data_url(made) == url:  # else the URL has parameters, which the part would lose
            return made
    return MediaPart(uri=url)
