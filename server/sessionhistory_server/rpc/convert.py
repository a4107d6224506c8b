"""Sessions, times and limits, between the contract's and the service's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.model import (
    ACTIVE,
    SessionContent,
    WindowLimits,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.model import Session

MICROS: Final = 1_000_000
EPOCH_SECONDS: Final = 946_684_800
"""The start of 2000, in seconds since the Unix epoch."""


def names(kind: EnumTypeWrapper, prefix: str) -> dict[int, str]:
    """Return the service's own names of an enum's values."""
    return {value: name.removeprefix(prefix) for name, value in kind.items()}


_STATUSES: Final = names(spb.SessionStatus, "SESSION_STATUS_") | {0: ACTIVE}
_STATUS_NUMBERS: Final[dict[str, Any]] = {name: value for value, name in _STATUSES.items() if value}


def statuses(values: Iterable[int]) -> tuple[str, ...]:
    """Return the names of session statuses, sorted, each once."""
    return tuple(sorted({_STATUSES[value] for value in values}))


def micros(value: Timestamp, *, round_up: bool = False) -> int:
    """Return a time as the service has it, rounded down unless said otherwise."""
    nanos = value.nanos + 999 if round_up else value.nanos
    return (value.seconds - EPOCH_SECONDS) * MICROS + nanos // 1_000


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
        return {"ttl": session.ttl.seconds * MICROS + session.ttl.nanos // 1_000}
    return {"expire_time": micros(session.expire_time) if session.HasField("expire_time") else None}


def window_limits(
    options: hpb.HistoryOptions | pb.GetHistoryRequest, before_sequence: int | None = None
) -> WindowLimits:
    """Return the limits of a window as a request names them."""
    return WindowLimits(
        optional(options, "max_messages"),
        optional(options, "token_budget"),
        before_sequence,
        not options.HasField("include_pinned") or options.include_pinned,
        optional(options, "max_turns"),
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
        create_time=timestamp(session.create_time),
        update_time=timestamp(session.update_time),
        last_message_time=timestamp(session.active_time if session.last_sequence else None),
        complete_time=timestamp(session.complete_time),
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
    maximum, budget = session.history_max_messages, session.history_token_budget
    if maximum is None and budget is None:
        return None
    return spb.HistorySettings(max_messages=maximum, token_budget=budget)


def _parent(session: Session) -> spb.SessionParent | None:
    if session.parent_session_id is None:
        return None
    return spb.SessionParent(session_id=session.parent_session_id, sequence=session.parent_sequence)


def timestamp(time: int | None) -> Timestamp | None:
    """Return a time as the contract shows it."""
    if time is None:
        return None
    seconds, rest = divmod(time, MICROS)
    return Timestamp(seconds=seconds + EPOCH_SECONDS, nanos=rest * 1_000)
