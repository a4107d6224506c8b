"""Between the messages of the contract and the service's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server import tokens
from sessionhistory_server.model import (
    ACTIVE,
    COMPLETE,
    Media,
    Message,
    MessageContent,
    NewMessage,
    Part,
    SessionContent,
    ToolCall,
    WindowLimits,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.model import Session, Window

_MICROS: Final = 1_000_000
_NANOS: Final = 1_000_000_000

# What the server adds to a message: its id, sequence, times, token count and status, and the frame around it.
_SERVER_FIELDS_BYTES: Final = 96


def _names(kind: EnumTypeWrapper, prefix: str) -> dict[int, str]:
    return {value: name.removeprefix(prefix) for name, value in kind.items()}


_ROLES: Final = _names(mpb.Role, "ROLE_")
_ROLE_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _ROLES.items()}
_MESSAGE_STATUSES: Final = _names(mpb.MessageStatus, "MESSAGE_STATUS_") | {0: COMPLETE}
_MESSAGE_STATUS_NUMBERS: Final[dict[str, Any]] = {n: v for v, n in _MESSAGE_STATUSES.items() if v}
_STATUSES: Final = _names(spb.SessionStatus, "SESSION_STATUS_") | {0: ACTIVE}
_STATUS_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _STATUSES.items() if value}
_CUT_NUMBERS: Final[dict[str, Any]] = {
    name: value for value, name in _names(hpb.HistoryCut, "HISTORY_CUT_").items()
}


def roles(values: Iterable[int]) -> tuple[str, ...]:
    """Return the names of roles, sorted, each once."""
    return tuple(sorted({_ROLES[value] for value in values}))


def statuses(values: Iterable[int]) -> tuple[str, ...]:
    """Return the names of session statuses, sorted, each once."""
    return tuple(sorted({_STATUSES[value] for value in values}))


def micros(value: Timestamp, *, round_up: bool = False) -> int:
    """Return a time in microseconds since the Unix epoch, rounded down unless said otherwise."""
    nanos = value.nanos + 999 if round_up else value.nanos
    return value.seconds * _MICROS + nanos // 1_000


def after(request: Any, field: str) -> int | None:  # noqa: ANN401 - one of several request types
    """Return an exclusive lower bound that is as good for times in whole microseconds."""
    return micros(getattr(request, field)) if request.HasField(field) else None


def before(request: Any, field: str) -> int | None:  # noqa: ANN401 - one of several request types
    """Return an exclusive upper bound that is as good for times in whole microseconds."""
    return micros(getattr(request, field), round_up=True) if request.HasField(field) else None


def optional(message: Any, field: str) -> Any:  # noqa: ANN401 - any message's any field
    """Return the value of a field that tracks presence, ``None`` if it is absent."""
    return getattr(message, field) if message.HasField(field) else None


def session_content(session: spb.Session, user_id: str | None) -> SessionContent:
    """Return what a caller sets of a session, for the given owner."""
    settings = session.history_settings
    return SessionContent(
        user_id=user_id,
        title=session.title or None,
        model=session.model or None,
        status=_STATUSES[session.status],
        labels=dict(session.labels),
        metadata=session.metadata or None,
        state=session.state or None,
        history_max_messages=optional(settings, "max_messages"),
        history_token_budget=optional(settings, "token_budget"),
        **expiration(session),
    )


def expiration(session: spb.Session) -> dict[str, int | None]:
    """Return when a session ends by itself, as fields of ``SessionContent``."""
    if session.HasField("ttl"):
        return {"ttl": session.ttl.seconds * _MICROS + session.ttl.nanos // 1_000}
    return {"expire_time": micros(session.expire_time) if session.HasField("expire_time") else None}


def new_message(message: mpb.Message) -> NewMessage:
    """Return a message about to be stored, its tokens counted if the caller did not."""
    content = MessageContent(
        message_id=message.message_id,
        role=_ROLES[message.role],
        name=message.name or None,
        content=message.content if message.HasField("content") else None,
        tool_calls=tuple(ToolCall(call.id, call.name, call.arguments) for call in message.tool_calls),
        tool_call_id=message.tool_call_id or None,
        parts=tuple(_part(part) for part in message.parts),
        payload=message.payload or None,
        payload_type=message.payload_type or None,
        metadata=message.metadata or None,
        model=message.model or None,
        provider=message.provider or None,
        input_tokens=optional(message.usage, "input_tokens"),
        output_tokens=optional(message.usage, "output_tokens"),
        cache_read_tokens=optional(message.usage, "cache_read_tokens"),
        cache_write_tokens=optional(message.usage, "cache_write_tokens"),
        token_count_given=optional(message, "token_count"),
        pinned=message.pinned,
        status=_MESSAGE_STATUSES[message.status],
        turn_id=message.turn_id or None,
        send_time_nanos=_nanos(message.send_time) if message.HasField("send_time") else None,
    )
    given = content.token_count_given
    count = tokens.count(content) if given is None else given
    return NewMessage(content, count, message.ByteSize() + _SERVER_FIELDS_BYTES)


def window_limits(options: hpb.HistoryOptions | pb.GetHistoryRequest) -> WindowLimits:
    """Return the limits of a window as a request names them."""
    include_pinned = optional(options, "include_pinned")
    return WindowLimits(
        max_messages=optional(options, "max_messages"),
        token_budget=optional(options, "token_budget"),
        include_pinned=include_pinned is not False,
    )


def session_message(session: Session) -> spb.Session:
    """Return a session as the contract shows it."""
    return spb.Session(
        session_id=session.session_id,
        user_id=session.user_id or "",
        title=session.title or "",
        model=session.model or "",
        status=_STATUS_NUMBERS[session.status],
        labels=session.labels,
        metadata=session.metadata or "",
        state=session.state or "",
        history_settings=_history_settings(session),
        message_count=session.message_count,
        total_tokens=session.total_tokens,
        last_sequence=session.last_sequence,
        create_time=_timestamp(session.create_time),
        update_time=_timestamp(session.update_time),
        last_message_time=_timestamp(session.active_time if session.last_sequence else None),
        complete_time=_timestamp(session.complete_time),
        delete_time=_timestamp(session.delete_time),
        purge_time=_timestamp(session.purge_time),
        expire_time=_timestamp(session.expire_time),
        etag=session.etag,
    )


def message_message(message: Message) -> mpb.Message:
    """Return a stored message as the contract shows it."""
    content = message.content
    result = mpb.Message(
        message_id=content.message_id,
        sequence=message.sequence,
        role=_ROLE_NUMBERS[content.role],
        name=content.name,
        content=content.content,
        tool_call_id=content.tool_call_id,
        payload=content.payload,
        payload_type=content.payload_type,
        metadata=content.metadata,
        model=content.model,
        provider=content.provider,
        usage=_usage(content),
        token_count=message.token_count,
        pinned=content.pinned,
        status=_MESSAGE_STATUS_NUMBERS[content.status],
        turn_id=content.turn_id,
        create_time=_timestamp(message.create_time),
    )
    if content.tool_calls:
        result.tool_calls.extend(mpb.ToolCall(**call._asdict()) for call in content.tool_calls)
    if content.parts:
        result.parts.extend(map(_part_message, content.parts))
    if content.send_time_nanos is not None:
        seconds, nanos = divmod(content.send_time_nanos, _NANOS)
        result.send_time.CopyFrom(Timestamp(seconds=seconds, nanos=nanos))
    return result


def history_message(window: Window) -> hpb.History:
    """Return a window as the contract shows it."""
    return hpb.History(
        messages=map(message_message, window.messages),
        total_tokens=window.total_tokens,
        omitted_message_count=window.omitted_message_count,
        cut=_CUT_NUMBERS[window.cut],
        next_before_sequence=window.next_before_sequence,
        last_sequence=window.last_sequence,
    )


def _part(part: mpb.Part) -> Part:
    match part.WhichOneof("kind"):
        case "media":
            media = part.media
            return Part(media=Media(media.mime_type, optional(media, "uri"), optional(media, "data")))
        case "json":
            return Part(json=part.json)
        case _:
            return Part(text=part.text)


def _part_message(part: Part) -> mpb.Part:
    media = None if part.media is None else mpb.Media(**part.media._asdict())
    return mpb.Part(text=part.text, media=media, json=part.json)


def _usage(content: MessageContent) -> mpb.Usage | None:
    fields = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    counts = {name: getattr(content, name) for name in fields}
    return None if all(count is None for count in counts.values()) else mpb.Usage(**counts)


def _history_settings(session: Session) -> spb.HistorySettings | None:
    maximum, budget = session.history_max_messages, session.history_token_budget
    if maximum is None and budget is None:
        return None
    return spb.HistorySettings(max_messages=maximum, token_budget=budget)


def _nanos(value: Timestamp) -> int:
    return value.seconds * _NANOS + value.nanos


def _timestamp(time: int | None) -> Timestamp | None:
    if time is None:
        return None
    seconds, rest = divmod(time, _MICROS)
    return Timestamp(seconds=seconds, nanos=rest * 1_000)
