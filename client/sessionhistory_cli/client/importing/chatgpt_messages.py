"""Read the messages of ChatGPT's export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sessionhistory.types import (
    JsonPart,
    MediaPart,
    Message,
    MessageStatus,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
)
from sessionhistory_cli.client.importing.field_values import member, time
from sessionhistory_cli.client.importing.losses import NO_PLACE, OF_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_cli.client.importing.json_fields import JsonFields

_PROVIDER: Final = "openai"
_EVERYONE: Final = "all"
_BROKEN: Final = ("in_progress", "finished_partial_completion")
_THOUGHT: Final = ("content", "summary")
_TEXT: Final = ("text", "code", "execution_output", "system_error")


def chatgpt_message(fields: JsonFields) -> Message:
    """Return the message of a node.

    A message of the model to a tool is a call of the tool. Content of a kind that the contract has no field
    for is a JSON part.

    Raises:
        BadFieldError: a field is missing or wrong.
    """
    author = fields.required_object("author")
    role = member(author, "role", Role, prefix="ROLE_")
    if role is None:
        raise author.error("role", "is missing")
    about = fields.object("metadata")
    recipient = fields.optional("recipient", str) or _EVERYONE
    content, parts = _content(fields)
    fields.lose(OF_SERVER, "update_time")
    fields.drop("id", "end_turn")
    is_models = role is Role.ASSISTANT
    calls: tuple[ToolCall, ...] = ()
    if is_models and recipient != _EVERYONE:
        calls, content, parts = (ToolCall(name=recipient, arguments=_arguments(content, parts)),), None, ()
    return Message(
        role=role,
        name=author.optional("name", str) or "",
        content=content,
        parts=parts,
        tool_calls=calls,
        model=(about and about.optional("model_slug", str)) or "",
        provider=_PROVIDER if is_models else "",
        finish_reason=_finish_reason(about),
        status=_status(fields),
        send_time=time(fields, "create_time"),
    )


def _finish_reason(about: JsonFields | None) -> str:
    details = about.object("finish_details") if about else None
    return (details and details.optional("type", str)) or ""


def _status(fields: JsonFields) -> MessageStatus:
    broken = fields.optional("status", str) in _BROKEN
    return MessageStatus.INTERRUPTED if broken else MessageStatus.COMPLETE


def _content(fields: JsonFields) -> tuple[str | None, tuple[Part, ...]]:
    """Return the content of a message as text, if it is text alone, or as parts."""
    told = fields.any("content")
    if not isinstance(told, dict):
        raise fields.error("content", "must be an object")
    for name in _lost(told):
        fields.count(f"content.{name}", NO_PLACE)
    parts = tuple(_parts(told))
    match parts:
        case ():
            return None, ()
        case (TextPart(text),):
            return text, ()
    return None, parts


def _lost(told: dict[str, object]) -> Iterator[str]:
    """Yield the names of content that its parts do not have. A JSON part has all of it."""
    match told:
        case {"content_type": "text" | "multimodal_text", "parts": list(parts)}:
            yield from _others(told, "parts")
            for part in parts:
                if isinstance(part, dict) and not isinstance(_part(part), JsonPart):
                    yield from (f"parts[].{name}" for name in _others(part, "text", "asset_pointer"))
        case {"content_type": kind, "text": str()} if kind in _TEXT:
            yield from _others(told, "text")
        case {"content_type": "thoughts", "thoughts": list(thoughts)}:
            yield from _others(told, "thoughts")
            for thought in thoughts:
                if not isinstance(thought, dict):
                    yield "thoughts[]"
                    continue
                kept = next((name for name in _THOUGHT if isinstance(_filled(thought, name), str)), "")
                yield from (f"thoughts[].{name}" for name in _others(thought, kept))
        case {"content_type": "reasoning_recap", "content": str(text)} if text:
            yield from _others(told, "content")


def _others(told: dict[str, object], *kept: str) -> Iterator[str]:
    return (name for name in told if name not in ("content_type", *kept) and _filled(told, name))


def _filled(told: dict[str, object], name: str) -> object:
    """Return a member; ``None`` if it is null or empty."""
    found = told.get(name)
    return None if found in ("", [], {}) else found


def _parts(told: dict[str, object]) -> Iterator[Part]:
    match told:
        case {"content_type": "text" | "multimodal_text", "parts": list(parts)}:
            yield from map(_part, parts)
        case {"content_type": kind, "text": str(text)} if kind in _TEXT:
            yield TextPart(text)
        case {"content_type": "thoughts", "thoughts": list(thoughts)}:
            yield from filter(None, map(_thought, thoughts))
        case {"content_type": "reasoning_recap", "content": str(text)} if text:
            yield ReasoningPart(text)
        case _:
            yield JsonPart(told)


def _part(told: object) -> Part:
    match told:
        case str(text) | {"content_type": "audio_transcription", "text": str(text)}:
            return TextPart(text)
        case {"asset_pointer": str(uri)} if uri:
            return MediaPart(uri=uri)
    return JsonPart(told)


def _thought(told: object) -> ReasoningPart | None:
    if not isinstance(told, dict):
        return None
    texts = (_filled(told, name) for name in _THOUGHT)
    return next((ReasoningPart(text) for text in texts if isinstance(text, str)), None)


def _arguments(content: str | None, parts: tuple[Part, ...]) -> str:
    """Return what the model says to a tool: a text, or the texts and the JSON of several parts."""
    return content if content is not None else "\n".join(filter(None, map(_as_text, parts)))


def _as_text(part: Part) -> str:
    match part:
        case JsonPart(value):
            return json.dumps(value, ensure_ascii=False)
        case MediaPart(uri=uri):
            return uri or ""
    return part.text
