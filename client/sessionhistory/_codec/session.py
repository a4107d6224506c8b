"""Encode and decode sessions, with their history settings and parents."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from sessionhistory import types
from sessionhistory._codec.enums import SESSION_STATUSES, UNANSWERED_CALLS
from sessionhistory._codec.fields import (
    below,
    build,
    encode_named,
    invalid_field,
    optional,
    refuse_unknown,
    require_type,
)
from sessionhistory._codec.json_text import decode_json_object, encode_json_object
from sessionhistory._codec.times import decode_optional_time, decode_time, encode_duration, encode_time
from sessionhistory.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FIELDS: Final = tuple(field.name for field in dataclasses.fields(types.SessionFields))


def encode_new_session(source: types.SessionFields | None, path: str) -> session_pb2.SessionFields | None:
    """Encode the fields of a session to create."""
    if source is None:
        return None
    require_type(source, types.SessionFields, path)
    return _encode_fields({name: getattr(source, name) for name in _FIELDS}, path)


def encode_session_update(changes: types.SessionUpdate, path: str) -> session_pb2.SessionFields:
    """Encode the fields of a session that ``update_session`` changes."""
    refuse_unknown(changes, types.SessionUpdate, "update_session")
    return _encode_fields(changes, path)


def decode_session(source: session_pb2.Session) -> types.Session:
    """Decode a stored session."""
    return types.Session(
        session_id=source.session_id,
        user_id=source.user_id,
        application_id=source.application_id,
        title=source.title,
        model=source.model,
        status=SESSION_STATUSES.decode(source.status),
        labels=dict(source.labels),
        metadata=decode_json_object(source.metadata),
        state=decode_json_object(source.state),
        history_settings=_decode_history_settings(source),
        message_count=source.message_count,
        total_tokens=source.total_tokens,
        last_sequence=source.last_sequence,
        create_time=decode_time(source.create_time),
        update_time=decode_time(source.update_time),
        last_activity_time=decode_time(source.last_activity_time),
        end_time=decode_optional_time(source, "end_time"),
        delete_time=decode_optional_time(source, "delete_time"),
        purge_time=decode_optional_time(source, "purge_time"),
        expire_time=decode_optional_time(source, "expire_time"),
        etag=source.etag,
        token_counter=source.token_counter,
        state_version=source.state_version,
        parent=_decode_parent(source),
        compacted_through_sequence=source.compacted_through_sequence,
    )


def _encode_fields(values: Mapping[str, Any], path: str) -> session_pb2.SessionFields:
    if values.get("expire_time") is not None and values.get("ttl") is not None:
        raise invalid_field(below(path, "ttl"), "must not be given together with expire_time")
    return build(session_pb2.SessionFields, path, **encode_named(_ENCODERS, values, path))


def _encode_history_settings(
    settings: types.HistorySettings | None, path: str
) -> session_pb2.HistorySettings | None:
    if settings is None:
        return None
    require_type(settings, types.HistorySettings, path)
    return build(
        session_pb2.HistorySettings,
        path,
        max_messages=settings.max_messages,
        token_budget=settings.token_budget,
        step_tokens=settings.step_tokens,
        step_messages=settings.step_messages,
        unanswered_calls=UNANSWERED_CALLS.encode_optional(
            settings.unanswered_calls, below(path, "unanswered_calls")
        ),
        whole_responses=settings.whole_responses,
    )


def _decode_history_settings(source: session_pb2.Session) -> types.HistorySettings | None:
    if not source.HasField("history_settings"):
        return None
    settings = source.history_settings
    return types.HistorySettings(
        max_messages=optional(settings, "max_messages"),
        token_budget=optional(settings, "token_budget"),
        step_tokens=optional(settings, "step_tokens"),
        step_messages=optional(settings, "step_messages"),
        unanswered_calls=UNANSWERED_CALLS.decode_optional(settings.unanswered_calls),
        whole_responses=optional(settings, "whole_responses"),
    )


def _decode_parent(source: session_pb2.Session) -> types.SessionParent | None:
    if not source.HasField("parent"):
        return None
    parent = source.parent
    return types.SessionParent(session_id=parent.session_id, through_sequence=parent.through_sequence)


# The fields that need a conversion.
_ENCODERS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "status": SESSION_STATUSES.encode,
    "metadata": encode_json_object,
    "state": encode_json_object,
    "history_settings": _encode_history_settings,
    "expire_time": encode_time,
    "ttl": encode_duration,
}
