"""Convert sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.model.session import ACTIVE, SessionContent
from sessionhistory_server.rpc.convert.fields import enum_names, optional
from sessionhistory_server.rpc.convert.times import MICROS, micros, timestamp
from sessionhistory_server.rpc.convert.window import UNANSWERED_CALLS_NUMBERS, unanswered_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory_server.model.session import Session

_STATUSES: Final = enum_names(spb.SessionStatus, "SESSION_STATUS_") | {0: ACTIVE}
_STATUS_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _STATUSES.items() if value}


def statuses(values: Iterable[int]) -> tuple[str, ...]:
    """Return the names of session statuses, sorted, each once."""
    return tuple(sorted({_STATUSES[value] for value in values}))


def session_content(fields: spb.SessionFields) -> SessionContent:
    """Return the fields of a session that a caller sets."""
    settings = fields.history_settings
    return SessionContent(
        application_id=fields.application_id or None,
        title=fields.title or None,
        model=fields.model or None,
        status=_STATUSES[fields.status],
        labels=dict(fields.labels),
        metadata=fields.metadata or None,
        state=fields.state or None,
        history_max_messages=optional(settings, "max_messages"),
        history_token_budget=optional(settings, "token_budget"),
        history_step_tokens=optional(settings, "step_tokens"),
        history_step_messages=optional(settings, "step_messages"),
        history_unanswered_calls=unanswered_calls(settings),
        history_whole_responses=optional(settings, "whole_responses"),
        **expiration(fields),
    )


def expiration(fields: spb.SessionFields) -> dict[str, int | None]:
    """Return when a session expires, as fields of ``SessionContent``."""
    if fields.HasField("ttl"):
        return {"ttl": fields.ttl.seconds * MICROS + fields.ttl.nanos // 1_000}
    return {"expire_time": micros(fields.expire_time) if fields.HasField("expire_time") else None}


def show_session(session: Session, shown: spb.Session) -> None:
    """Fill a session into a session of a response."""
    shown.MergeFrom(_shown(session))


def _shown(session: Session) -> spb.Session:
    return spb.Session(
        session_id=session.session_id,
        user_id=session.user_id or "",
        application_id=session.application_id or "",
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
        create_time=timestamp(session.create_time),
        update_time=timestamp(session.update_time),
        last_activity_time=timestamp(session.last_activity_time),
        end_time=timestamp(session.end_time),
        delete_time=timestamp(session.delete_time),
        purge_time=timestamp(session.purge_time),
        expire_time=timestamp(session.expire_time),
        etag=session.etag,
        token_counter=session.token_counter,
        state_version=session.state_version,
        parent=_parent(session),
        compacted_through_sequence=session.compacted_through_sequence,
    )


def _history_settings(session: Session) -> spb.HistorySettings | None:
    calls = session.history_unanswered_calls
    settings = spb.HistorySettings(
        max_messages=session.history_max_messages,
        token_budget=session.history_token_budget,
        step_tokens=session.history_step_tokens,
        step_messages=session.history_step_messages,
        unanswered_calls=None if calls is None else UNANSWERED_CALLS_NUMBERS[calls],
        whole_responses=session.history_whole_responses,  # type: ignore[arg-type] # None: not set
    )
    return settings if settings.ListFields() else None


def _parent(session: Session) -> spb.SessionParent | None:
    if session.parent_session_id is None:
        return None
    return spb.SessionParent(
        session_id=session.parent_session_id, through_sequence=session.parent_through_sequence
    )
