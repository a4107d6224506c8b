"""Messages as the items of ``messages`` in OpenAI's Chat Completions API, and back."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats._content import base64_of, body, data_url, item_of, media_of, payload_of
from sessionhistory.formats._names import accepted_name
from sessionhistory.formats._openai_chat_rules import content_violations
from sessionhistory.types import JsonPart, MediaPart, Message, ReasoningPart, Role, TextPart, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory.formats._content import Body, Json
    from sessionhistory.types import Part

PAYLOAD_TYPE: Final = "application/vnd.openai.chat-message+json"
"""The ``payload_type`` of a message of this API."""

REASONING_KEYS: Final = ("reasoning_content", "reasoning")
"""The members with the text of reasoning, which servers compatible with the API have."""

_FUNCTION_ROLE: Final = "function"
_AUDIO_FORMATS: Final = {"audio/wav": "wav", "audio/mpeg": "mp3"}
_AUDIO_TYPES: Final = {name: mime_type for mime_type, name in _AUDIO_FORMATS.items()}
_MALFORMED: Final = (AttributeError, KeyError, RecursionError, TypeError, ValueError)


def read(item: Json) -> Message:
    """Return the message of an item, without payload.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no item of this API.
    """
    role = Role.TOOL if item["role"] == _FUNCTION_ROLE else Role(item["role"])
    content, parts = _read_content(item)
    return Message(
        role=role,
        content=content,
        name=item.get("name") or "",
        tool_calls=tuple(_read_calls(item)),
        tool_call_id=item.get("tool_call_id") or "",
        parts=(*_read_reasoning(item), *parts),
    )


def read_with_payload(item: Json) -> Message:
    """Return the message of an item, with the item as its payload if the fields do not give it back."""
    message = read(item)
    if written(message) == item:
        return message
    return replace(message, payload=payload_of(item), payload_type=PAYLOAD_TYPE)


def written(message: Message) -> Json:
    """Return the item of a message by its fields. Media that the role does not take are left out."""
    item: Json = {"role": message.role.value}
    if message.role is Role.TOOL:
        item["tool_call_id"] = message.tool_call_id
    elif message.name:
        item["name"] = accepted_name(message.name)
    item["content"] = _written_content(message)
    if message.tool_calls:
        item["tool_calls"] = list(map(written_call, message.tool_calls))
    return item


def written_call(call: ToolCall) -> Json:
    """Return the item of a call, with a name that the API accepts."""
    return raw_call(replace(call, name=accepted_name(call.name)))


def raw_call(call: ToolCall, *, custom: bool = False) -> Json:
    """Return the item of a call as the API writes it."""
    if custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def own_item(message: Message) -> Json | None:
    """Return the item in a message's payload, as the API accepts it, if it agrees with the fields."""
    item = item_of(message, PAYLOAD_TYPE)
    try:
        if item["role"] != message.role or _told(read(item)) != _told(message):
            return None
    except _MALFORMED:
        return None
    taken = _taken_back(item)
    return None if next(content_violations(taken, ""), None) else taken


def texts_as_parts(messages: Iterable[Message]) -> list[Json]:
    """Return the texts of several messages as parts of one."""
    parts = [part for message in messages for part in body(message)]
    return [_written_text(part) for part in parts if isinstance(part, TextPart)]


def refused_media(message: Message) -> list[Json]:
    """Return the media that the role of a message does not take, as parts of a user's message."""
    if message.role is Role.USER:
        return []
    return [_written_medium(part) for part in body(message) if isinstance(part, MediaPart)]


def _told(message: Message) -> tuple[Any, ...]:
    return message.content, message.parts, message.tool_calls, message.tool_call_id, message.name


def _taken_back(item: Json) -> Json:
    """Return an item without the members of its answers that the API refuses in a request."""
    item = {name: value for name, value in item.items() if value or name != "tool_calls"}
    if isinstance(item.get("audio"), dict):
        item["audio"] = {"id": item["audio"].get("id")}
    if "name" in item:
        item["name"] = accepted_name(item["name"])
    return item


def _read_content(item: Json) -> tuple[str | None, tuple[Part, ...]]:
    content = item.get("content")
    if isinstance(content, list):
        return None, tuple(map(_read_part, content))
    if content is None:
        content = item.get("refusal") or (item.get("audio") or {}).get("transcript")
    if not isinstance(content, str | None):
        raise TypeError("content must be text or a list of parts")
    return content, ()


def _read_part(part: Json) -> Part:
    """Return a part; one that the contract has no field for is JSON."""
    try:
        match part["type"]:
            case "text":
                return TextPart(part["text"])
            case "refusal":
                return TextPart(part["refusal"])
            case "image_url":
                return media_of(part["image_url"]["url"])
            case "input_audio":
                return _read_audio(part["input_audio"])
            case "file" if "file_data" in part["file"]:
                return media_of(part["file"]["file_data"])
    except (KeyError, binascii.Error):
        pass
    return JsonPart(part)


def _read_audio(audio: Json) -> MediaPart:
    data = base64.b64decode(audio["data"], validate=True)
    return MediaPart(mime_type=_AUDIO_TYPES[audio["format"]], data=data)


def _read_calls(item: Json) -> Iterable[ToolCall]:
    for call in item.get("tool_calls") or ():
        if call.get("type") == "custom":
            yield ToolCall(id=call["id"], name=call["custom"]["name"], arguments=call["custom"]["input"])
        else:
            function = call["function"]
            yield ToolCall(id=call.get("id") or "", name=function["name"], arguments=function["arguments"])
    if function := item.get("function_call"):
        yield ToolCall(name=function["name"], arguments=function["arguments"])


def _read_reasoning(item: Json) -> Iterable[ReasoningPart]:
    texts = (item.get(key) for key in REASONING_KEYS)
    return [ReasoningPart(text) for text in texts if text and isinstance(text, str)][:1]


def _written_content(message: Message) -> str | list[Json] | None:
    if all(isinstance(part, ReasoningPart) for part in message.parts):
        has_null = message.role is Role.ASSISTANT and message.content is None
        return None if has_null else message.content or ""
    takes_media = message.role is Role.USER
    parts = [part for part in body(message) if takes_media or isinstance(part, TextPart)]
    return list(map(_written_part, parts)) or (None if message.role is Role.ASSISTANT else "")


def _written_part(part: Body) -> Json:
    return _written_text(part) if isinstance(part, TextPart) else _written_medium(part)


def _written_text(part: TextPart) -> Json:
    return {"type": "text", "text": part.text}


def _written_medium(part: MediaPart) -> Json:
    """Return an image, a sound or a file; a link to anything but an image is text, which the API takes."""
    if part.data is not None and part.mime_type in _AUDIO_FORMATS:
        audio = {"data": base64_of(part), "format": _AUDIO_FORMATS[part.mime_type]}
        return {"type": "input_audio", "input_audio": audio}
    if part.mime_type.startswith("image/") or (part.uri is not None and not part.mime_type):
        return {"type": "image_url", "image_url": {"url": data_url(part)}}
    if part.uri is not None:
        return _written_text(TextPart(part.uri))
    return {"type": "file", "file": {"filename": "file", "file_data": data_url(part)}}
