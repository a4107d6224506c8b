"""Parse the messages of recorded conversations, in the format of the contract or of OpenAI's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory.types import Message, MessageStatus, Part, ReasoningPart, Role, ToolCall, Usage
from sessionhistory_cli.client.importing.chat_messages import chat_message
from sessionhistory_cli.client.importing.field_values import base64_bytes, json_object, member, time
from sessionhistory_cli.client.importing.losses import OF_SERVER
from sessionhistory_cli.client.importing.message_parts import parse_content_part, parse_part
from sessionhistory_cli.client.importing.message_size import problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_cli.client.importing.json_fields import JsonFields

# The names of the contract first, then those of the APIs of models.
_USAGE: Final = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cache_read_tokens": ("cache_read_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
}


def parse_message(fields: JsonFields, message_id: str) -> Message:
    """Return the message of a JSON object.

    Args:
        fields: The object.
        message_id: The id of the message if the object has none.

    Raises:
        BadFieldError: a field is missing, wrong or too large.
    """
    item = chat_message(fields)
    content, parts = (item.content, item.parts) if item else _content(fields)
    fields.lose(OF_SERVER, "sequence", "create_time")
    sent = time(fields, "send_time")
    found = Message(
        message_id=fields.optional("message_id", str) or message_id,
        role=item.role if item else _role(fields),
        name=fields.optional("name", str) or "",
        content=content,
        parts=(*_reasoning(fields), *parts, *map(parse_part, fields.objects("parts"))),
        tool_calls=item.tool_calls if item else tuple(map(_tool_call, fields.objects("tool_calls"))),
        tool_call_id=fields.optional("tool_call_id", str) or "",
        payload=base64_bytes(fields, "payload") or (item.payload if item else b""),
        payload_type=fields.optional("payload_type", str) or (item.payload_type if item else ""),
        metadata=json_object(fields, "metadata"),
        model=fields.optional("model", str) or "",
        provider=fields.optional("provider", str) or "",
        usage=_usage(fields.object("usage")),
        token_count=fields.optional("token_count", int),
        pinned=fields.optional("pinned", bool) or False,
        status=member(fields, "status", MessageStatus, prefix="MESSAGE_STATUS_") or MessageStatus.COMPLETE,
        turn_id=fields.optional("turn_id", str) or "",
        send_time=time(fields, "created_at") if sent is None else sent,
        finish_reason=fields.optional("finish_reason", str) or "",
    )
    if problem := problem_of(found):
        raise fields.error("content", problem)
    return found


def _role(fields: JsonFields) -> Role:
    role = member(fields, "role", Role, prefix="ROLE_")
    if role is None:
        raise fields.error("role", "is missing")
    return role


def _content(fields: JsonFields) -> tuple[str | None, tuple[Part, ...]]:
    """Return the content, which may be a list of parts instead of text."""
    if fields.has_type("content", list):
        return None, tuple(map(parse_content_part, fields.objects("content")))
    if not fields.has_type("content", str, type(None)):
        raise fields.error("content", "must be text or a list of parts")
    return fields.optional("content", str), ()


def _reasoning(fields: JsonFields) -> Iterator[Part]:
    """Yield the reasoning of the model, if there is any."""
    if text := fields.optional("reasoning_content", str):
        yield ReasoningPart(text)


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
