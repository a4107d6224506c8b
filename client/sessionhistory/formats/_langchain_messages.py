"""Messages as LangChain dumps them, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats._content import Json, base64_of, body, dumped, item_of, media_of, payload_of
from sessionhistory.formats._langchain_media import read_medium, written_medium
from sessionhistory.formats._repair import arguments_object
from sessionhistory.types import (
    JsonPart,
    MediaPart,
    Message,
    MessageStatus,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory.types import Part

PAYLOAD_TYPE: Final = "application/vnd.langchain.message+json"
"""The ``payload_type`` of a message of LangChain."""

TYPES: Final = {
    "system": Role.SYSTEM,
    "human": Role.USER,
    "ai": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}
"""The types of messages, and their roles."""

REMOVE: Final = "remove"
"""The type of an instruction that removes another message. It is no message to store."""

_DEVELOPER: Final = {"__openai_role__": "developer"}
_WRITTEN: Final = {
    Role.SYSTEM: "system",
    Role.DEVELOPER: "system",
    Role.USER: "human",
    Role.ASSISTANT: "ai",
    Role.TOOL: "tool",
}
_CHAT_ROLES: Final = {
    "user": Role.USER,
    "human": Role.USER,
    "assistant": Role.ASSISTANT,
    "ai": Role.ASSISTANT,
} | {role.value: role for role in (Role.SYSTEM, Role.DEVELOPER, Role.TOOL)}
_CUT: Final = ("length", "max_tokens", "MAX_TOKENS", "content_filter", "SAFETY", "incomplete")
# So that a stream and an answer make the same payload.
_ORDER: Final = ("id", "name", "additional_kwargs", "response_metadata", "usage_metadata", "tool_calls")
_MALFORMED: Final = (AttributeError, KeyError, RecursionError, TypeError, ValueError)


def normal(item: Json) -> Json:
    """Return a dumped message as ``{"type": ..., "data": {...}}``, without members that are null or empty.

    The forms are those of ``messages_to_dict``, of ``dumpd`` and of a message's own ``model_dump``.

    Raises:
        KeyError, TypeError: it is none of them.
    """
    data: Json = item["kwargs"] if "lc" in item else item.get("data", item)
    kind: str = item["id"][-1] if "lc" in item else item["type"]
    kept = {name: value for name, value in data.items() if name != "type" and value not in (None, {}, [])}
    first = {name: kept[name] for name in _ORDER if name in kept}
    return {"type": _type(kind), "data": {"content": data["content"], **first, **kept}}


def _type(kind: str) -> str:
    """Return the type of a message by its type, or by the name of its class."""
    name = kind.removesuffix("Chunk")
    return name.removesuffix("Message").lower() if name.endswith("Message") else name


def read(item: Json) -> Message:
    """Return the message of a normal item, without payload.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no message of LangChain.
    """
    data = item["data"]
    about = data.get("response_metadata") or {}
    content, parts = _read_content(data["content"])
    found = _word(about, "finish_reason", "stop_reason", "done_reason")
    return Message(
        role=_role(item),
        content=content,
        parts=parts,
        name=data.get("name") or "",
        tool_calls=tuple(_read_calls(data)),
        tool_call_id=data.get("tool_call_id") or "",
        model=_word(about, "model_name", "model"),
        provider=_word(about, "model_provider"),
        finish_reason=found,
        usage=_usage(data.get("usage_metadata")),
        status=MessageStatus.INTERRUPTED if found in _CUT else MessageStatus.COMPLETE,
    )


def read_with_payload(item: Json) -> Message:
    """Return the message of a dumped message, with it as payload if the fields do not give it back."""
    told = normal(item)
    message = read(told)
    if normal(written(message)) == told:
        return message
    return replace(message, payload=payload_of(told), payload_type=PAYLOAD_TYPE)


def own_item(message: Message) -> Json | None:
    """Return the dumped message in a message's payload, if it agrees with the fields."""
    item = item_of(message, PAYLOAD_TYPE)
    try:
        told = normal(item)
        return told if _told(read(told)) == _told(message) else None
    except _MALFORMED:
        return None


def _told(message: Message) -> tuple[Any, ...]:
    calls = [(call.id, call.name, arguments_object(call.arguments)) for call in message.tool_calls]
    return message.role, message.content, message.parts, message.name, message.tool_call_id, calls


def written(message: Message) -> Json:
    """Return the dumped message by the fields of a message."""
    data: Json = {"content": _written_content(message)}
    if message.role is Role.DEVELOPER:
        data["additional_kwargs"] = _DEVELOPER
    if message.name:
        data["name"] = message.name
    if message.tool_calls:
        data["tool_calls"] = list(map(written_call, message.tool_calls))
    if message.role is Role.TOOL:
        data["tool_call_id"] = message.tool_call_id
    return {"type": _WRITTEN[message.role], "data": data}


def written_call(call: ToolCall) -> Json:
    """Return a call, whose arguments are an object."""
    return {"name": call.name, "args": arguments_object(call.arguments), "id": call.id, "type": "tool_call"}


def blocks(messages: Iterable[Message]) -> str | list[Json]:
    """Return the content of several messages as one."""
    found = [content for message in messages if (content := _written_content(message))]
    if len(found) <= 1:
        return found[0] if found else ""
    return [block for content in found for block in _as_blocks(content)]


def _as_blocks(content: str | list[Json]) -> list[Json]:
    return [_text(content)] if isinstance(content, str) else content


def _role(item: Json) -> Role:
    data = item["data"]
    if item["type"] == "chat":
        return _CHAT_ROLES.get(data["role"], Role.USER)
    role = TYPES[item["type"]]
    is_developer = role is Role.SYSTEM and data.get("additional_kwargs") == _DEVELOPER
    return Role.DEVELOPER if is_developer else role


def _word(about: Json, *names: str) -> str:
    return next((found for name in names if isinstance(found := about.get(name), str)), "")


def _usage(told: Json | None) -> Usage | None:
    if not told:
        return None
    details = told.get("input_token_details") or {}
    return Usage(
        input_tokens=told.get("input_tokens"),
        output_tokens=told.get("output_tokens"),
        cache_read_tokens=details.get("cache_read"),
        cache_write_tokens=details.get("cache_creation"),
    )


def _read_content(content: object) -> tuple[str | None, tuple[Part, ...]]:
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list):
        raise TypeError("content must be text or a list of blocks")
    return None, tuple(part for block in content if (part := read_block(block)) is not None)


def read_block(block: str | Json) -> Part | None:
    """Return a block of content as a part; ``None`` if it repeats a tool call.

    Raises:
        AttributeError, TypeError: it is neither text nor an object.
    """
    match block:
        case str(text) | {"type": "text", "text": str(text)}:
            return TextPart(text)
        case {"type": "reasoning", "reasoning": str(text)}:
            extras = block.get("extras") or {}
            opaque, signature = extras.get("opaque") or "", extras.get("signature") or ""
            return ReasoningPart(text, opaque=opaque, signature=signature) if text or opaque else None
        case {"type": "thinking", "thinking": str(text)} if text:
            return ReasoningPart(text, signature=block.get("signature") or "")
        case {"type": "image_url", "image_url": str(url) | {"url": str(url)}}:
            return media_of(url)
        case {"type": "tool_use" | "tool_call" | "tool_call_chunk" | "input_json_delta" | "function_call"}:
            return None
        case {"type": str()}:
            return read_medium(block) or JsonPart(block)
    raise TypeError("a block of content is text or an object with a type")


def _read_calls(data: Json) -> Iterator[ToolCall]:
    for call in data.get("tool_calls") or ():
        yield ToolCall(id=call.get("id") or "", name=call["name"], arguments=dumped(call["args"]))
    for call in data.get("invalid_tool_calls") or ():
        arguments = call.get("args") or ""
        yield ToolCall(id=call.get("id") or "", name=call.get("name") or "unknown", arguments=arguments)


def _written_content(message: Message) -> str | list[Json]:
    if not message.parts:
        return message.content or ""
    reasons = [_reasoning(part) for part in message.parts if isinstance(part, ReasoningPart)]
    said = [
        written_medium(part, base64_of(part)) if isinstance(part, MediaPart) else _text(part.text)
        for part in body(message)
    ]
    return [*reasons, *said] or ""


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _reasoning(part: ReasoningPart) -> Json:
    told = {"opaque": part.opaque, "signature": part.signature}
    extras = {name: value for name, value in told.items() if value}
    return {"type": "reasoning", "reasoning": part.text, **({"extras": extras} if extras else {})}
