"""Messages and windows, between the contract's and the service's own.

These run for every message of every call: fields that are not set cost nothing, and a response is made in
one pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory_server import tokens
from sessionhistory_server.model import (
    COMPLETE,
    NOTHING_RARE,
    RARE,
    Media,
    MessageContent,
    NewMessage,
    Part,
    ToolCall,
)
from sessionhistory_server.rpc.convert import EPOCH_SECONDS, MICROS, names, optional, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessionhistory_server.model import Message, Summary, Window

_NANOS: Final = 1_000_000_000

# What the server adds to a message: its id, sequence, times, token count and status, and the frame around it.
_SERVER_FIELDS_BYTES: Final = 96

_ROLES: Final = names(mpb.Role, "ROLE_")
_ROLE_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _ROLES.items()}
_STATUSES: Final = names(mpb.MessageStatus, "MESSAGE_STATUS_") | {0: COMPLETE}
_STATUS_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _STATUSES.items() if value}
_CUT_NUMBERS: Final[dict[str, Any]] = {
    name: value for value, name in names(hpb.HistoryCut, "HISTORY_CUT_").items()
}

# Fields that are the same on both sides, and absent where they are None.
_PLAIN: Final = (
    "name",
    "tool_call_id",
    "payload",
    "payload_type",
    "metadata",
    "model",
    "provider",
    "turn_id",
)
_USAGE: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def new_message(message: mpb.Message) -> NewMessage:
    """Return a message about to be stored, its tokens counted if the caller did not."""
    content = MessageContent(
        message.message_id,
        _ROLES[message.role],
        message.content if message.HasField("content") else None,
        message.pinned,
        _STATUSES[message.status],
        **_rare(message),
    )
    given = content.token_count_given
    count = tokens.count(content) if given is None else given
    return NewMessage(content, count, message.ByteSize() + _SERVER_FIELDS_BYTES)


def _rare(message: mpb.Message) -> dict[str, Any]:
    """Return what few messages have; what a caller may not set is passed over."""
    return {
        _RENAMED.get(descriptor.name, descriptor.name): _RARE[descriptor.name](value)
        for descriptor, value in message.ListFields()
        if descriptor.name in _RARE
    } | (_usage(message.usage) if message.HasField("usage") else {})


def message(stored: Message) -> mpb.Message:
    """Return a stored message as the contract shows it."""
    shown = mpb.Message()
    show(stored, shown)
    return shown


def show_window(window: Window, shown: hpb.History) -> None:
    """Fill in a window as the contract shows it: in its place, for a response would copy all of it."""
    shown.total_tokens = window.total_tokens
    shown.omitted_message_count = window.omitted_message_count
    shown.cut = _CUT_NUMBERS[window.cut]
    if window.next_before_sequence is not None:
        shown.next_before_sequence = window.next_before_sequence
    shown.last_sequence = window.last_sequence
    add = shown.messages.add
    for stored in window.messages:
        show(stored, add())
    if window.summary is not None:
        shown.summary.CopyFrom(summary(window.summary))


def summary(stored: Summary) -> hpb.HistorySummary:
    """Return what a summary covers, as the contract shows it."""
    covered = stored.message
    return hpb.HistorySummary(
        through_sequence=covered.sequence,
        message_count=stored.message_count,
        total_tokens=stored.total_tokens,
        create_time=timestamp(covered.create_time),
    )


def show(stored: Message, shown: mpb.Message) -> None:
    """Fill in a stored message as the contract shows it."""
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
    if content[RARE:] != NOTHING_RARE:
        _show_rare(content, shown)


def _show_rare(content: MessageContent, shown: mpb.Message) -> None:
    for name in _PLAIN:
        value = getattr(content, name)
        if value is not None:
            setattr(shown, name, value)
    for call in content.tool_calls or ():
        shown.tool_calls.add(id=call.id, name=call.name, arguments=call.arguments)
    shown.parts.extend(map(_shown_part, content.parts or ()))
    counts = {name: count for name in _USAGE if (count := getattr(content, name)) is not None}
    if counts:
        shown.usage.MergeFrom(mpb.Usage(**counts))
    if content.send_time_nanos is not None:
        seconds, nanos = divmod(content.send_time_nanos, _NANOS)
        shown.send_time.MergeFrom(Timestamp(seconds=seconds, nanos=nanos))


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
        case _:
            return Part(text=part.text)


def _shown_part(part: Part) -> mpb.Part:
    media = None if part.media is None else mpb.Media(**part.media._asdict())
    return mpb.Part(text=part.text, media=media, json=part.json)


def _usage(usage: mpb.Usage) -> dict[str, int]:
    return {descriptor.name: value for descriptor, value in usage.ListFields()}


def _nanos(value: Timestamp) -> int:
    return value.seconds * _NANOS + value.nanos


def _same(value: Any) -> Any:  # noqa: ANN401 - any field's
    return value


_RARE: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(_PLAIN, _same),
    "tool_calls": lambda calls: tuple([ToolCall(call.id, call.name, call.arguments) for call in calls]),
    "parts": lambda parts: tuple([_part(part) for part in parts]),
    "token_count": _same,
    "send_time": _nanos,
}
_RENAMED: Final = {"token_count": "token_count_given", "send_time": "send_time_nanos"}
