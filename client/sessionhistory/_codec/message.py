"""Encode and decode messages, with their parts, tool calls and usage."""

from __future__ import annotations

import uuid
from typing import Final

from sessionhistory import types
from sessionhistory._codec.enums import MESSAGE_STATUSES, ROLES
from sessionhistory._codec.fields import (
    below,
    build,
    decode_tuple,
    encode_list,
    invalid_field,
    optional,
    require_type,
)
from sessionhistory._codec.frozen import fast_constructor
from sessionhistory._codec.json_text import decode_json, decode_json_object, encode_json, encode_json_object
from sessionhistory._codec.times import decode_optional_time, encode_time
from sessionhistory.v1 import message_pb2

_Message: Final = fast_constructor(types.Message)


def encode_message(source: types.Message, path: str) -> message_pb2.Message:
    """Encode a message to append, without the fields that the server sets.

    The message always has an id, so that a retry names the same message.
    """
    require_type(source, types.Message, path)
    return build(
        message_pb2.Message,
        path,
        message_id=source.message_id or str(uuid.uuid4()),
        role=ROLES.encode(source.role, below(path, "role")),
        name=source.name,
        content=source.content,
        tool_calls=encode_list(_encode_tool_call, source.tool_calls, below(path, "tool_calls")),
        tool_call_id=source.tool_call_id,
        parts=encode_list(encode_part, source.parts, below(path, "parts")),
        payload=source.payload,
        payload_type=source.payload_type,
        metadata=encode_json_object(source.metadata, below(path, "metadata")),
        model=source.model,
        provider=source.provider,
        usage=encode_usage(source.usage, below(path, "usage")),
        token_count=source.token_count,
        pinned=source.pinned,
        status=MESSAGE_STATUSES.encode(source.status, below(path, "status")),
        turn_id=source.turn_id,
        send_time=encode_time(source.send_time, below(path, "send_time")),
        finish_reason=source.finish_reason,
    )


def decode_message(source: message_pb2.Message) -> types.Message:
    """Decode a stored message."""
    return _Message(
        role=ROLES.decode(source.role),
        content=source.content or optional(source, "content"),
        message_id=source.message_id,
        name=source.name,
        tool_calls=decode_tuple(_decode_tool_call, source.tool_calls),
        tool_call_id=source.tool_call_id,
        parts=decode_tuple(_decode_part, source.parts),
        payload=source.payload,
        payload_type=source.payload_type,
        metadata=decode_json_object(source.metadata),
        model=source.model,
        provider=source.provider,
        usage=_decode_usage(source),
        token_count=source.token_count or optional(source, "token_count"),
        pinned=source.pinned,
        status=MESSAGE_STATUSES.decode(source.status),
        turn_id=source.turn_id,
        send_time=decode_optional_time(source, "send_time"),
        finish_reason=source.finish_reason,
        sequence=source.sequence,
        create_time=decode_optional_time(source, "create_time"),
    )


def _encode_tool_call(call: types.ToolCall, path: str) -> message_pb2.ToolCall:
    require_type(call, types.ToolCall, path)
    return build(message_pb2.ToolCall, path, id=call.id, name=call.name, arguments=call.arguments)


def _decode_tool_call(source: message_pb2.ToolCall) -> types.ToolCall:
    return types.ToolCall(id=source.id, name=source.name, arguments=source.arguments)


def encode_part(part: types.Part, path: str) -> message_pb2.Part:
    """Encode a part of a message."""
    match part:
        case types.TextPart(text):
            return build(message_pb2.Part, path, text=text)
        case types.JsonPart(value):
            return build(message_pb2.Part, path, json=encode_json(value, below(path, "json")))
        case types.MediaPart():
            return message_pb2.Part(media=_encode_media(part, below(path, "media")))
        case types.ReasoningPart():
            return message_pb2.Part(reasoning=_encode_reasoning(part, below(path, "reasoning")))
    raise invalid_field(
        path, f"must be a TextPart, MediaPart, JsonPart or ReasoningPart, not {type(part).__name__}"
    )


def _decode_part(source: message_pb2.Part) -> types.Part:
    match source.WhichOneof("kind"):
        case "text":
            return types.TextPart(source.text)
        case "json":
            return types.JsonPart(decode_json(source.json))
        case "reasoning":
            return _decode_reasoning(source.reasoning)
        case _:
            return _decode_media(source.media)


def _encode_media(part: types.MediaPart, path: str) -> message_pb2.Media:
    if part.uri is not None and part.data is not None:
        raise invalid_field(path, "must set one of uri, data")
    return build(message_pb2.Media, path, mime_type=part.mime_type, uri=part.uri, data=part.data)


def _decode_media(source: message_pb2.Media) -> types.MediaPart:
    return types.MediaPart(
        mime_type=source.mime_type, uri=optional(source, "uri"), data=optional(source, "data")
    )


def _encode_reasoning(part: types.ReasoningPart, path: str) -> message_pb2.Reasoning:
    return build(message_pb2.Reasoning, path, text=part.text, opaque=part.opaque, signature=part.signature)


def _decode_reasoning(source: message_pb2.Reasoning) -> types.ReasoningPart:
    return types.ReasoningPart(source.text, opaque=source.opaque, signature=source.signature)


def encode_usage(usage: types.Usage | None, path: str) -> message_pb2.Usage | None:
    """Encode the tokens that a model call used."""
    if usage is None:
        return None
    require_type(usage, types.Usage, path)
    return build(
        message_pb2.Usage,
        path,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )


def _decode_usage(source: message_pb2.Message) -> types.Usage | None:
    if not source.HasField("usage"):
        return None
    usage = source.usage
    return types.Usage(
        input_tokens=optional(usage, "input_tokens"),
        output_tokens=optional(usage, "output_tokens"),
        cache_read_tokens=optional(usage, "cache_read_tokens"),
        cache_write_tokens=optional(usage, "cache_write_tokens"),
    )
