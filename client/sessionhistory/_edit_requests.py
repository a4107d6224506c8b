"""The requests of the client's methods for whole histories."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sessionhistory._enums import SESSION_STATUSES
from sessionhistory._fields import build, message, number, session
from sessionhistory._requests import user_of
from sessionhistory.types import Session
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from sessionhistory import types
    from sessionhistory.v1 import session_pb2


def truncate_history(
    session_id: str, *, after_sequence: int, user_id: str | None, expected_last_sequence: int | None
) -> pb.TruncateHistoryRequest:
    """Ask for the end of a history to be removed."""
    return build(
        pb.TruncateHistoryRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        after_sequence=after_sequence,
        expected_last_sequence=expected_last_sequence,
    )


def fork_session(
    session_id: str,
    new: types.Session | None,
    *,
    user_id: str | None,
    up_to_sequence: int | None,
    allow_existing: bool,
) -> pb.ForkSessionRequest:
    """Ask for a copy of a session, with an id that a retry can name again."""
    return build(
        pb.ForkSessionRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        up_to_sequence=up_to_sequence,
        session=_named(new),
        allow_existing=allow_existing or not (new and new.session_id),
    )


def reset_session(
    session_id: str,
    new: types.Session | None,
    *,
    user_id: str | None,
    keep_history: bool,
    keep_state: bool,
    previous_status: types.SessionStatus,
) -> pb.ResetSessionRequest:
    """Ask for a session to go on in the place of another, with an id that a retry can name again."""
    return build(
        pb.ResetSessionRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        session=_named(new),
        keep_history=keep_history,
        keep_state=keep_state,
        previous_status=number(SESSION_STATUSES, previous_status, "previous_status"),
    )


def _named(new: types.Session | None) -> session_pb2.Session:
    """Return what a session is to be, with an id."""
    named = session(Session() if new is None else new, "session")
    named.session_id = named.session_id or str(uuid.uuid4())
    return named


def compact_history(
    session_id: str,
    summary: types.Message,
    *,
    through_sequence: int,
    user_id: str | None,
    expected_last_sequence: int | None,
    expected_compacted_through_sequence: int | None,
) -> pb.CompactHistoryRequest:
    """Ask for a summary to be stored."""
    return build(
        pb.CompactHistoryRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        through_sequence=through_sequence,
        message=message(summary, "message"),
        expected_last_sequence=expected_last_sequence,
        expected_compacted_through_sequence=expected_compacted_through_sequence,
    )
