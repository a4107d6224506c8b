"""From the client's values to the fields of the service's messages.

What cannot be sent at all is refused here as the service would: ``InvalidFieldError``, with the field's path.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sessionhistory import types
from sessionhistory._enums import MESSAGE_STATUSES, ROLES, SESSION_STATUSES, Words
from sessionhistory._failures import invalid_field
from sessionhistory.v1 import history_pb2, message_pb2, session_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_PYTHON_TYPES: Final = {
    FieldDescriptor.TYPE_STRING: "str",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int",
    FieldDescriptor.TYPE_INT64: "int",
}

M = TypeVar("M")


def build(kind: Callable[..., M], path: str, **fields: Any) -> M:  # noqa: ANN401 - of any message
    """Return a message of the fields that are not ``None``; ``path`` is where it stands in the request."""
    present = {name: value for name, value in fields.items() if value is not None}
    try:
        return kind(**present)
    except (TypeError, ValueError):
        for name, value in present.items():
            _refuse(kind, path, name, value)
        raise


def below(path: str, name: str) -> str:
    """Return the path of a field of what stands at a path."""
    return f"{path}.{name}" if path else name


def message(source: types.Message, path: str) -> message_pb2.Message:
    """Return a message to append, with an id that a retry names again. What the server sets is not sent."""
    require(source, types.Message, path)
    return build(
        message_pb2.Message,
        path,
        message_id=source.message_id or str(uuid.uuid4()),
        role=number(ROLES, source.role, below(path, "role")),
        name=source.name,
        content=source.content,
        tool_calls=[
            build(
                message_pb2.ToolCall, f"{path}.tool_calls[{i}]", id=c.id, name=c.name, arguments=c.arguments
            )
            for i, c in enumerate(source.tool_calls)
        ],
        tool_call_id=source.tool_call_id,
        parts=[message_part(part, f"{path}.parts[{i}]") for i, part in enumerate(source.parts)],
        payload=source.payload,
        payload_type=source.payload_type,
        metadata=json_object(source.metadata, below(path, "metadata")),
        model=source.model,
        provider=source.provider,
        usage=usage(source.usage, below(path, "usage")),
        token_count=source.token_count,
        pinned=source.pinned,
        status=number(MESSAGE_STATUSES, source.status, below(path, "status")),
        turn_id=source.turn_id,
        send_time=timestamp(source.send_time, below(path, "send_time")),
    )


def session(source: types.Session, path: str) -> session_pb2.Session:
    """Return a session to create. What the server sets is not sent."""
    require(source, types.Session, path)
    content = {name: getattr(source, name) for name in types.SessionUpdate.__annotations__}
    return build(
        session_pb2.Session,
        path,
        session_id=source.session_id,
        user_id=source.user_id,
        **session_content(path, **content),
    )


def session_content(path: str, **values: Any) -> dict[str, Any]:  # noqa: ANN401 - those of SessionUpdate
    """Return what a caller can set in a session, by field."""
    if values.get("expire_time") is not None and values.get("ttl") is not None:
        raise invalid_field(below(path, "ttl"), "must not be given together with expire_time")
    convert: dict[str, Callable[[Any, str], Any]] = {
        "status": lambda value, at: number(SESSION_STATUSES, value, at),
        "metadata": json_object,
        "state": json_object,
        "history_settings": _history_settings,
        "expire_time": timestamp,
        "ttl": _duration,
    }
    return {
        name: convert[name](value, below(path, name)) if name in convert else value
        for name, value in values.items()
    }


def history_options(source: types.HistoryOptions | None) -> history_pb2.HistoryOptions | None:
    """Return the limits of a window."""
    if source is None:
        return None
    require(source, types.HistoryOptions, "history")
    return build(
        history_pb2.HistoryOptions,
        "history",
        max_messages=source.max_messages,
        token_budget=source.token_budget,
        include_pinned=source.include_pinned,
        max_turns=source.max_turns,
    )


def number(words: Words, word: object, path: str) -> int:
    """Return the contract's number of a word."""
    value = words.number(word)
    if value is None:
        raise invalid_field(path, f"must be one of {words.choices}")
    return value


def timestamp(value: object, path: str) -> Timestamp | None:
    """Return a time, which must say its time zone."""
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise invalid_field(path, "must be a datetime with a time zone")
    micros = (value - _EPOCH) // _MICROSECOND
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def _duration(value: timedelta | None, path: str) -> Duration | None:
    if value is None:
        return None
    try:
        micros = value // _MICROSECOND
    except TypeError:
        raise invalid_field(path, "must be a timedelta") from None
    return Duration(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def _history_settings(value: types.HistorySettings | None, path: str) -> session_pb2.HistorySettings | None:
    if value is None:
        return None
    return build(
        session_pb2.HistorySettings, path, max_messages=value.max_messages, token_budget=value.token_budget
    )


def usage(value: types.Usage | None, path: str) -> message_pb2.Usage | None:
    """Return what a model call used."""
    if value is None:
        return None
    return build(
        message_pb2.Usage,
        path,
        input_tokens=value.input_tokens,
        output_tokens=value.output_tokens,
        cache_read_tokens=value.cache_read_tokens,
        cache_write_tokens=value.cache_write_tokens,
    )


def message_part(part: types.Part, path: str) -> message_pb2.Part:
    """Return a part of a message."""
    match part:
        case types.TextPart(text):
            return build(message_pb2.Part, path, text=text)
        case types.JsonPart(value):
            return build(message_pb2.Part, path, json=_json(value, below(path, "json")))
        case types.MediaPart(mime_type=mime_type, uri=uri, data=data):
            if uri is not None and data is not None:
                raise invalid_field(below(path, "media"), "must set one of uri, data")
            media = build(message_pb2.Media, below(path, "media"), mime_type=mime_type, uri=uri, data=data)
            return message_pb2.Part(media=media)
    raise invalid_field(path, "must be a TextPart, MediaPart or JsonPart")


def json_object(value: object, path: str) -> str | None:
    """Return a JSON object as text."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise invalid_field(path, "must be a mapping")
    return _json(dict(value), path)


def _json(value: object, path: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):  # which may quote the value
        raise invalid_field(
            path, "must be made of what JSON has: no NaN, no other types, no cycles"
        ) from None


def require(value: object, kind: type, path: str) -> None:
    """Refuse what is not of the client's own type."""
    if not isinstance(value, kind):
        raise invalid_field(path, f"must be a {kind.__name__}, not {type(value).__name__}")


def _refuse(kind: Any, path: str, name: str, value: object) -> None:  # noqa: ANN401 - class of any message
    """Raise if this is the field that cannot be sent."""
    try:
        kind(**{name: value})
    except UnicodeError:  # protobuf's errors may quote the value
        rule = "must be valid Unicode: it holds half of a surrogate pair"
    except TypeError:
        expected = _PYTHON_TYPES.get(kind.DESCRIPTOR.fields_by_name[name].type)
        found = type(value).__name__
        rule = f"must be {expected}, not {found}" if expected else f"cannot be made of this {found}"
    except ValueError:
        rule = "is out of the range of the field"
    else:
        return
    raise invalid_field(below(path, name), rule) from None
