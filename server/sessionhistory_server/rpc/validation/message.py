"""The rules of messages and of their requests. The store checks the rules that need the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import limits
from sessionhistory_server.rpc.validation.checks import Checks
from sessionhistory_server.rpc.validation.session import (
    check_active_session,
    check_named,
    check_state_patch,
    check_times,
    check_window,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

# The whole years in which the nanoseconds since the Unix epoch fit into 64 bits.
_SEND_FROM_SECONDS: Final = -9_214_560_000
_SEND_BEFORE_SECONDS: Final = 9_214_646_400

_TIMES: Final = ("create_time_after", "create_time_before")


def check_append(checks: Checks, request: pb.AppendMessageRequest) -> None:
    """Check a request to append one message."""
    _check_target(checks, request)
    _check_state_change(checks, request)
    _check_history(checks, request)
    checks.require(request.HasField("message"), "message", "is required")
    if request.HasField("message"):
        check_message(checks, "message", request.message)


def check_append_batch(checks: Checks, request: pb.AppendMessagesRequest) -> None:
    """Check a request to append a batch of messages."""
    _check_target(checks, request)
    _check_state_change(checks, request)
    checks.not_negative("keep_through_sequence", request.keep_through_sequence)
    _check_batch(checks, "messages", request.messages)


def check_append_stream(checks: Checks, first: stream_pb.AppendMessageStreamRequest | None) -> None:
    """Check the first piece of an AppendMessageStream, its header. Fill in the default role."""
    if first is None or not first.HasField("header"):
        checks.require(None, "header", "is required as the first piece")
        return
    header, inside = first.header, checks.inside("header.")
    header.message.role = header.message.role or mpb.ROLE_ASSISTANT
    _check_target(inside, header)
    _check_history(inside, header)
    check_message(inside, "message", header.message)
    inside.known("on_break", header.on_break, stream_pb.OnBreak)


def check_get(checks: Checks, request: pb.GetMessageRequest) -> None:
    """Check a request for one message."""
    check_named(checks, request)
    match request.WhichOneof("key"):
        case "message_id":
            checks.identifier("message_id", request.message_id, required=True)
        case "sequence":
            checks.require(request.sequence > 0, "sequence", "must be 1 or more")
        case _:
            checks.require(None, "key", "must set one of message_id, sequence")


def check_list(checks: Checks, request: pb.ListMessagesRequest) -> None:
    """Check a request for a page of messages."""
    check_named(checks, request)
    checks.known("order_by", request.order_by, pb.MessageOrder)
    checks.not_negative("after_sequence", request.after_sequence)
    checks.not_negative("before_sequence", request.before_sequence)
    checks.all_known("roles", request.roles, mpb.Role)
    check_times(checks, request, _TIMES)
    checks.not_negative("page_size", request.page_size)


def check_truncate(checks: Checks, request: pb.TruncateMessagesRequest) -> None:
    """Check a request to remove the messages after a sequence."""
    check_named(checks, request)
    given = request.HasField("keep_through_sequence")
    checks.require(given, "keep_through_sequence", "is required; 0 removes all messages")
    checks.not_negative("keep_through_sequence", request.keep_through_sequence)
    checks.not_negative("expected_last_sequence", request.expected_last_sequence)


def check_message(checks: Checks, field: str, message: mpb.Message) -> None:
    """Check the fields of a message that a caller sets."""
    if message.ByteSize() > limits.MAX_MESSAGE_BYTES:
        checks.require(None, field, f"must have at most {limits.MAX_MESSAGE_BYTES} bytes")
        return
    checks.require(message.role, f"{field}.role", "is required")
    for descriptor, value in message.ListFields():
        if rule := _MESSAGE_RULES.get(descriptor.name):
            rule(checks, f"{field}.{descriptor.name}", value)
    pinnable = message.role != mpb.ROLE_TOOL and not message.tool_calls
    checks.require(
        pinnable or not message.pinned,
        f"{field}.pinned",
        "must be false for a TOOL message and for one with tool calls",
    )


def _check_target(
    checks: Checks,
    request: pb.AppendMessageRequest | pb.AppendMessagesRequest | stream_pb.AppendMessageStreamHeader,
) -> None:
    """Check the session to append to, and the values that the caller expects of it."""
    creates = request.HasField("new_session")
    checks.identifier("session_id", request.session_id, required=not creates)
    checks.user_id("user_id", request.user_id)
    if creates:
        check_active_session(checks, "new_session", request.new_session)
    if request.HasField("expected_last_sequence"):
        checks.not_negative("expected_last_sequence", request.expected_last_sequence)


def _check_state_change(checks: Checks, request: pb.AppendMessageRequest | pb.AppendMessagesRequest) -> None:
    check_state_patch(checks, "state_patch", request.state_patch)
    checks.not_negative("expected_state_version", request.expected_state_version)


def _check_history(
    checks: Checks, request: pb.AppendMessageRequest | stream_pb.AppendMessageStreamHeader
) -> None:
    """Check the limits of the window that an append returns."""
    if request.HasField("history"):
        check_window(checks, "history.", request.history)
        checks.not_negative("history.max_turns", request.history.max_turns)


def _check_batch(checks: Checks, field: str, messages: Sequence[mpb.Message]) -> None:
    """Check the messages of one append."""
    if not checks.length(field, messages, limits.MAX_BATCH_MESSAGES, minimum=1):
        return
    if sum(message.ByteSize() for message in messages) > limits.MAX_BATCH_BYTES:
        checks.require(None, field, f"must have at most {limits.MAX_BATCH_BYTES} bytes together")
        return
    seen: set[str] = set()
    for index, message in enumerate(messages):
        check_message(checks, f"{field}[{index}]", message)
        new = message.message_id not in seen
        checks.require(new, f"{field}[{index}].message_id", "must not occur twice in one request")
        if message.message_id:
            seen.add(message.message_id)


def _check_name(checks: Checks, field: str, value: str) -> None:
    checks.text(field, value, limits.MAX_NAME_CHARACTERS)


def _check_tool_call_id(checks: Checks, field: str, value: str) -> None:
    checks.text(field, value, limits.MAX_TOOL_CALL_ID_CHARACTERS)


def _check_tool_calls(checks: Checks, field: str, tool_calls: Sequence[mpb.ToolCall]) -> None:
    if not checks.length(field, tool_calls, limits.MAX_TOOL_CALLS):
        return
    for index, call in enumerate(tool_calls):
        _check_tool_call_id(checks, f"{field}[{index}].id", call.id)
        checks.require(call.name, f"{field}[{index}].name", "is required")
        checks.text(f"{field}[{index}].name", call.name, limits.MAX_NAME_CHARACTERS)
        checks.text(f"{field}[{index}].arguments", call.arguments)


def check_parts(checks: Checks, field: str, parts: Sequence[mpb.Part]) -> None:
    """Check parts of a message."""
    if not checks.length(field, parts, limits.MAX_PARTS):
        return
    for index, part in enumerate(parts):
        match part.WhichOneof("kind"):
            case "text":
                checks.text(f"{field}[{index}].text", part.text)
            case "json":
                checks.json_value(f"{field}[{index}].json", part.json)
            case "media":
                _check_media(checks, f"{field}[{index}].media", part.media)
            case "reasoning":
                _check_reasoning(checks, f"{field}[{index}].reasoning", part.reasoning)
            case _:
                checks.require(None, f"{field}[{index}]", "must set one of text, media, json, reasoning")


def _check_media(checks: Checks, field: str, media: mpb.Media) -> None:
    checks.text(f"{field}.mime_type", media.mime_type, limits.MAX_NAME_CHARACTERS)
    source = media.WhichOneof("source")
    checks.require(source, field, "must set one of uri, data")
    if source == "uri":
        checks.require(media.uri, f"{field}.uri", "must not be empty")
        checks.text(f"{field}.uri", media.uri, limits.MAX_URI_CHARACTERS)


def _check_reasoning(checks: Checks, field: str, reasoning: mpb.Reasoning) -> None:
    checks.require(reasoning.text or reasoning.opaque, field, "must set text, opaque or both")
    for name in ("text", "opaque", "signature"):
        checks.text(f"{field}.{name}", getattr(reasoning, name))


def _check_usage(checks: Checks, field: str, usage: mpb.Usage) -> None:
    checks.require(usage.ListFields(), field, "must set at least one field, or be absent")
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
        checks.not_negative(f"{field}.{name}", getattr(usage, name))


def _check_send_time(checks: Checks, field: str, value: Timestamp) -> None:
    checks.timestamp(field, value)
    in_range = _SEND_FROM_SECONDS <= value.seconds < _SEND_BEFORE_SECONDS
    checks.require(in_range, field, "must be from 1678 to 2261")


# The rules by field. A field that is not set breaks no rule. The required role is checked separately.
_MESSAGE_RULES: Final[Mapping[str, Callable[[Checks, str, Any], None]]] = {
    "message_id": Checks.identifier,
    "role": lambda checks, field, value: checks.known(field, value, mpb.Role),
    "name": _check_name,
    "content": Checks.text,
    "tool_calls": _check_tool_calls,
    "tool_call_id": _check_tool_call_id,
    "parts": check_parts,
    "payload_type": _check_name,
    "metadata": lambda checks, field, value: checks.json_object(field, value, limits.MAX_METADATA_BYTES),
    "model": _check_name,
    "provider": _check_name,
    "finish_reason": _check_name,
    "usage": _check_usage,
    "token_count": Checks.not_negative,
    "status": lambda checks, field, value: checks.known(field, value, mpb.MessageStatus),
    "turn_id": lambda checks, field, value: checks.text(field, value, limits.MAX_TURN_ID_CHARACTERS),
    "send_time": _check_send_time,
}
