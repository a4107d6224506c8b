"""The rules of the contract, message by message. What the store enforces is not here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server import limits
from sessionhistory_server.rpc.checks import MIN_SECONDS, Checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

_NANOS_PER_SECOND: Final = 1_000_000_000
_EXPIRE_BEFORE_SECONDS: Final = 221_845_392_000
"""The start of the year 9000, in seconds since the Unix epoch."""

# Whole years of those whose nanoseconds since the Unix epoch fit 64 bits.
_SEND_FROM_SECONDS: Final = -9_214_560_000
_SEND_BEFORE_SECONDS: Final = 9_214_646_400


def check_session(checks: Checks, field: str, session: spb.Session, *, require_user_id: bool) -> None:
    """Check what a caller sets of a session."""
    checks.identifier(f"{field}.session_id", session.session_id)
    checks.user_id(f"{field}.user_id", session.user_id, required=require_user_id)
    checks.text(f"{field}.title", session.title, limits.MAX_TITLE_CHARACTERS)
    checks.text(f"{field}.model", session.model, limits.MAX_NAME_CHARACTERS)
    checks.known(f"{field}.status", session.status, spb.SessionStatus)
    check_labels(checks, f"{field}.labels", session.labels)
    checks.json_object(f"{field}.metadata", session.metadata, limits.MAX_METADATA_BYTES)
    checks.json_object(f"{field}.state", session.state, limits.MAX_STATE_BYTES)
    settings = session.history_settings
    checks.not_negative(f"{field}.history_settings.max_messages", settings.max_messages)
    checks.not_negative(f"{field}.history_settings.token_budget", settings.token_budget)
    _check_expiration(checks, field, session)


def check_labels(checks: Checks, field: str, labels: Mapping[str, str]) -> None:
    """Check a map of labels. Keys are not named in the violation: they may hold anything."""
    if not checks.length(field, labels, limits.MAX_LABELS):
        return
    for key, value in labels.items():
        checks.identifier(f"{field}.key", key, required=True)
        checks.text(f"{field}.key", key, limits.MAX_LABEL_KEY_CHARACTERS)
        checks.text(f"{field}.value", value, limits.MAX_LABEL_VALUE_CHARACTERS)


def check_message(checks: Checks, field: str, message: mpb.Message) -> None:
    """Check what a caller sets of a message."""
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


def check_batch(checks: Checks, field: str, messages: Sequence[mpb.Message]) -> None:
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


def check_times(checks: Checks, request: object, fields: Iterable[str]) -> None:
    """Check optional bounds of time."""
    for field in fields:
        if request.HasField(field):  # type: ignore[attr-defined] # one of several request types
            checks.timestamp(field, getattr(request, field))


def _check_name(checks: Checks, field: str, value: str) -> None:
    checks.text(field, value, limits.MAX_NAME_CHARACTERS)


def _check_tool_calls(checks: Checks, field: str, tool_calls: Sequence[mpb.ToolCall]) -> None:
    if not checks.length(field, tool_calls, limits.MAX_TOOL_CALLS):
        return
    for index, call in enumerate(tool_calls):
        checks.text(f"{field}[{index}].id", call.id, limits.MAX_NAME_CHARACTERS)
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
            case _:
                checks.require(None, f"{field}[{index}]", "must set one of text, media, json")


def _check_media(checks: Checks, field: str, media: mpb.Media) -> None:
    checks.text(f"{field}.mime_type", media.mime_type, limits.MAX_NAME_CHARACTERS)
    source = media.WhichOneof("source")
    checks.require(source, field, "must set one of uri, data")
    if source == "uri":
        checks.require(media.uri, f"{field}.uri", "must not be empty")
        checks.text(f"{field}.uri", media.uri, limits.MAX_URI_CHARACTERS)


def _check_usage(checks: Checks, field: str, usage: mpb.Usage) -> None:
    checks.require(usage.ListFields(), field, "must set at least one field, or be absent")
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
        checks.not_negative(f"{field}.{name}", getattr(usage, name))


def _check_send_time(checks: Checks, field: str, value: Timestamp) -> None:
    checks.timestamp(field, value)
    in_range = _SEND_FROM_SECONDS <= value.seconds < _SEND_BEFORE_SECONDS
    checks.require(in_range, field, "must be from 1678 to 2261")


# By field; one that is not set keeps every rule but that of the role.
_MESSAGE_RULES: Final[Mapping[str, Callable[[Checks, str, Any], None]]] = {
    "message_id": Checks.identifier,
    "role": lambda checks, field, value: checks.known(field, value, mpb.Role),
    "name": _check_name,
    "content": Checks.text,
    "tool_calls": _check_tool_calls,
    "tool_call_id": _check_name,
    "parts": check_parts,
    "payload_type": _check_name,
    "metadata": lambda checks, field, value: checks.json_object(field, value, limits.MAX_METADATA_BYTES),
    "model": _check_name,
    "provider": _check_name,
    "usage": _check_usage,
    "token_count": Checks.not_negative,
    "status": lambda checks, field, value: checks.known(field, value, mpb.MessageStatus),
    "turn_id": lambda checks, field, value: checks.text(field, value, limits.MAX_TURN_ID_CHARACTERS),
    "send_time": _check_send_time,
}


def _check_expiration(checks: Checks, field: str, session: spb.Session) -> None:
    match session.WhichOneof("expiration"):
        case "expire_time":
            expire_time = session.expire_time
            checks.timestamp(f"{field}.expire_time", expire_time)
            coming = time.time() < expire_time.seconds + expire_time.nanos / _NANOS_PER_SECOND
            in_range = coming and MIN_SECONDS <= expire_time.seconds < _EXPIRE_BEFORE_SECONDS
            rule = "must be in the future and before the year 9000"
            checks.require(in_range, f"{field}.expire_time", rule)
        case "ttl":
            seconds, nanos = session.ttl.seconds, session.ttl.nanos
            in_range = seconds >= limits.MIN_TTL_SECONDS and (seconds, nanos) <= (limits.MAX_TTL_SECONDS, 0)
            rule = f"must be {limits.MIN_TTL_SECONDS} second to {limits.MAX_TTL_SECONDS} seconds"
            checks.require(in_range and 0 <= nanos < _NANOS_PER_SECOND, f"{field}.ttl", rule)
