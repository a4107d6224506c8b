"""Convert messages.

This code runs for every message of every call. So it reads only fields that are set, and fills a response in
one pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory_server.model.message import (
    COMPLETE,
    Media,
    MessageContent,
    MessageExtras,
    Part,
    Reasoning,
    SentMessage,
    ToolCall,
)
from sessionhistory_server.rpc.convert.fields import enum_names, optional
from sessionhistory_server.rpc.convert.times import EPOCH_SECONDS, MICROS, unix_nanos, unix_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessionhistory_server.model.message import Message

# The most bytes that the server adds to a message: its id, sequence, times, token count, status, and frame.
_SERVER_FIELDS_BYTES: Final = 96

_ROLES: Final = enum_names(mpb.Role, "ROLE_")
_ROLE_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _ROLES.items()}
_STATUSES: Final = enum_names(mpb.MessageStatus, "MESSAGE_STATUS_") | {0: COMPLETE}
_STATUS_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _STATUSES.items() if value}


def sent_message(message: mpb.Message) -> SentMessage:
    """Return a message that a caller sent."""
    content = MessageContent(
        message.message_id,
        _ROLES[message.role],
        message.content if message.HasField("content") else None,
        message.pinned,
        _STATUSES[message.status],
        _extras(message),
    )
    return SentMessage(content, message.ByteSize() + _SERVER_FIELDS_BYTES)


def _extras(message: mpb.Message) -> MessageExtras | None:
    """Return the extras of a message. Fields that a caller may not set are ignored."""
    found = {
        _RENAMED.get(descriptor.name, descriptor.name): _EXTRAS[descriptor.name](value)
        for descriptor, value in message.ListFields()
        if descriptor.name in _EXTRAS
    }
    if message.HasField("usage"):
        found |= _usage(message.usage)
    return MessageExtras(**found) if found else None


def show_message(stored: Message, shown: mpb.Message) -> None:
    """Fill a stored message into a message of a response."""
    content, shown.sequence, shown.token_count, micros, _ = stored
    shown.message_id = content.message_id
    shown.role = _ROLE_NUMBERS[content.role]
    if content.content is not None:
        shown.content = content.content
    if content.pinned:
        shown.pinned = True
    shown.status = _STATUS_NUMBERS[content.status]
    seconds, rest = divmod(micros, MICROS)
    create_time = shown.create_time
    create_time.seconds = seconds + EPOCH_SECONDS
    create_time.nanos = rest * 1_000
    if content.extras is not None:
        _show_extras(content.extras, shown)


def _show_extras(extras: MessageExtras, shown: mpb.Message) -> None:
    for name in _PLAIN:
        value = getattr(extras, name)
        if value is not None:
            setattr(shown, name, value)
    for call in extras.tool_calls or ():
        shown.tool_calls.add(id=call.id, name=call.name, arguments=call.arguments)
    shown.parts.extend(map(_shown_part, extras.parts or ()))
    counts = {name: count for name in _USAGE if (count := getattr(extras, name)) is not None}
    if counts:
        shown.usage.MergeFrom(mpb.Usage(**counts))
    if extras.send_time_nanos is not None:
        shown.send_time.MergeFrom(unix_timestamp(extras.send_time_nanos))


def roles(values: Iterable[int]) -> tuple[str, ...]:
    """Return the names of roles, sorted, each once."""
    return tuple(sorted({_ROLES[value] for value in values}))


def _part(part: mpb.Part) -> Part:
    match part.WhichOneof("kind"):
        case "media":
            media = part.media
            return Part(media=Media(media.mime_type, optional(media, "uri"), optional(media, "data")))
        case "json":
            return Part(json=part.json)
        case "reasoning":
            thought = part.reasoning
            return Part(reasoning=Reasoning(thought.text, thought.opaque, thought.signature))
        case _:
            return Part(text=part.text)


def _shown_part(part: Part) -> mpb.Part:
    media = None if part.media is None else mpb.Media(**part.media._asdict())
    reasoning = None if part.reasoning is None else mpb.Reasoning(**part.reasoning._asdict())
    return mpb.Part(text=part.text, media=media, json=part.json, reasoning=reasoning)


def _usage(usage: mpb.Usage) -> dict[str, int]:
    return {descriptor.name: value for descriptor, value in usage.ListFields()}


def _same(value: Any) -> Any:  # noqa: ANN401 - any field's
    return value


_CONVERTED: Final[dict[str, Callable[[Any], Any]]] = {
    "tool_calls": lambda calls: tuple([ToolCall(call.id, call.name, call.arguments) for call in calls]),
    "parts": lambda parts: tuple([_part(part) for part in parts]),
    "token_count": _same,
    "send_time": unix_nanos,
}
_RENAMED: Final = {"token_count": "token_count_given", "send_time": "send_time_nanos"}

_USAGE: Final = tuple(mpb.Usage.DESCRIPTOR.fields_by_name)
_PLAIN: Final = tuple(
    name for name in MessageExtras._fields if name not in (*_CONVERTED, *_RENAMED.values(), *_USAGE)
)
"""The extras with the same name and form in ``model`` and in the contract: all that are not named above."""

_EXTRAS: Final = {**dict.fromkeys(_PLAIN, _same), **_CONVERTED}
