"""The rules of sessions and of their requests. The store checks the rules that need the database."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server import limits
from sessionhistory_server.rpc.validation import masks
from sessionhistory_server.rpc.validation.checks import MIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sessionhistory_server.rpc.validation.checks import Checks

_NANOS_PER_SECOND: Final = 1_000_000_000
_EXPIRE_BEFORE_SECONDS: Final = 221_845_392_000
"""The start of the year 9000, in seconds since the Unix epoch."""

_LABEL_KEY: Final = re.compile(f"[{limits.LABEL_KEY_CHARACTERS}]{{1,{limits.MAX_LABEL_KEY_CHARACTERS}}}")
_LABEL_KEY_RULE: Final = (
    f"must be 1 to {limits.MAX_LABEL_KEY_CHARACTERS} characters of {limits.LABEL_KEY_CHARACTERS}"
)
_TIMES: Final = (
    "create_time_after",
    "create_time_before",
    "last_activity_time_after",
    "last_activity_time_before",
)
_ENDED: Final = (
    spb.SESSION_STATUS_UNSPECIFIED,
    spb.SESSION_STATUS_COMPLETED,
    spb.SESSION_STATUS_ABANDONED,
)


class NamesSession(Protocol):
    """A request that names a session, and may name the user that its caller acts for."""

    session_id: str
    user_id: str


N = TypeVar("N", bound=NamesSession)


def check_named(checks: Checks, request: N) -> None:
    """Check the session and the user that a request names."""
    checks.identifier("session_id", request.session_id, required=True)
    checks.user_id("user_id", request.user_id)


def check_create(checks: Checks, request: pb.CreateSessionRequest) -> None:
    """Check a request to create a session."""
    checks.identifier("session_id", request.session_id)
    checks.user_id("user_id", request.user_id)
    check_session(checks, "session", request.session)


def check_update(checks: Checks, request: pb.UpdateSessionRequest) -> None:
    """Check a request to change fields of a session."""
    check_named(checks, request)
    check_session(checks, "session", request.session)
    masks.check(checks, request)


def check_list(checks: Checks, request: pb.ListSessionsRequest) -> None:
    """Check a request for a page of sessions."""
    checks.user_id("user_id", request.user_id)
    checks.application_id("application_id", request.application_id)
    checks.all_known("statuses", request.statuses, spb.SessionStatus)
    _check_labels(checks, "labels", request.labels)
    checks.text("title_contains", request.title_contains, limits.MAX_TITLE_FILTER_CHARACTERS)
    check_times(checks, request, _TIMES)
    checks.known("order_by", request.order_by, pb.SessionOrder)
    checks.not_negative("page_size", request.page_size)


def check_update_state(checks: Checks, request: pb.UpdateStateRequest) -> None:
    """Check a request to change a session's state."""
    check_named(checks, request)
    checks.require(request.patch, "patch", "is required")
    check_state_patch(checks, "patch", request.patch)
    checks.not_negative("expected_state_version", request.expected_state_version)


def check_get_active(checks: Checks, request: pb.GetActiveSessionRequest) -> None:
    """Check a request for a user's active session."""
    _check_active_user(checks, request)
    checks.application_id("application_id", request.application_id)


def check_ensure_active(checks: Checks, request: pb.EnsureActiveSessionRequest) -> None:
    """Check a request for a user's active session, which is created if it is missing."""
    _check_active_user(checks, request)
    checks.identifier("new_session_id", request.new_session_id)
    check_active_session(checks, "new_session", request.new_session)


def check_fork(checks: Checks, request: pb.ForkSessionRequest) -> None:
    """Check a request to fork a session."""
    _check_branch(checks, request)
    check_session(checks, "new_session", request.new_session)
    checks.not_negative("through_sequence", request.through_sequence)


def check_reset(checks: Checks, request: pb.ResetSessionRequest) -> None:
    """Check a request to reset a session."""
    _check_branch(checks, request)
    check_active_session(checks, "new_session", request.new_session)
    checks.require(request.previous_status in _ENDED, "previous_status", "must be COMPLETED or ABANDONED")


def check_session(checks: Checks, field: str, session: spb.SessionFields) -> None:
    """Check the fields of a session that a caller sets."""
    if not session.ListFields():  # as in most appends that may create a session
        return
    checks.application_id(f"{field}.application_id", session.application_id)
    checks.text(f"{field}.title", session.title, limits.MAX_TITLE_CHARACTERS)
    checks.text(f"{field}.model", session.model, limits.MAX_NAME_CHARACTERS)
    checks.known(f"{field}.status", session.status, spb.SessionStatus)
    _check_labels(checks, f"{field}.labels", session.labels)
    checks.json_object(f"{field}.metadata", session.metadata, limits.MAX_METADATA_BYTES)
    checks.json_object(f"{field}.state", session.state, limits.MAX_STATE_BYTES)
    check_window(checks, f"{field}.history_settings.", session.history_settings)
    _check_expiration(checks, field, session)


def check_window(
    checks: Checks, prefix: str, limits: spb.HistorySettings | hpb.HistoryOptions | pb.GetHistoryRequest
) -> None:
    """Check the limits and options of windows, whose fields have names that begin with a prefix."""
    for name in ("max_messages", "token_budget", "step_tokens", "step_messages"):
        checks.not_negative(f"{prefix}{name}", getattr(limits, name))
    checks.known(f"{prefix}unanswered_calls", limits.unanswered_calls, hpb.UnansweredCalls)


def check_active_session(checks: Checks, field: str, session: spb.SessionFields) -> None:
    """Check the fields of a new session that must accept messages."""
    check_session(checks, field, session)
    active = session.status in (spb.SESSION_STATUS_UNSPECIFIED, spb.SESSION_STATUS_ACTIVE)
    rule = "must be ACTIVE or not set: the call needs a session that accepts messages"
    checks.require(active, f"{field}.status", rule)


def check_state_patch(checks: Checks, field: str, patch: str) -> None:
    """Check a merge patch of a state, or an empty one."""
    checks.json_object(field, patch, limits.MAX_STATE_BYTES)


def check_times(checks: Checks, request: Any, fields: Iterable[str]) -> None:  # noqa: ANN401 - several types
    """Check optional bounds of time."""
    for field in fields:
        if request.HasField(field):
            checks.timestamp(field, getattr(request, field))


def _check_active_user(
    checks: Checks, request: pb.GetActiveSessionRequest | pb.EnsureActiveSessionRequest
) -> None:
    checks.require(request.user_id, "user_id", "is required")
    checks.any_user_id("user_id", request.user_id)


def _check_branch(checks: Checks, request: pb.ForkSessionRequest | pb.ResetSessionRequest) -> None:
    check_named(checks, request)
    checks.identifier("new_session_id", request.new_session_id)
    checks.any_user_id("new_user_id", request.new_user_id)
    agree = not request.user_id or request.new_user_id in ("", request.user_id)
    checks.require(agree, "new_user_id", "must be empty or the same as user_id")


def _check_labels(checks: Checks, field: str, labels: Mapping[str, str]) -> None:
    """Check a map of labels. A violation does not quote the key, which may be any text."""
    if not checks.length(field, labels, limits.MAX_LABELS):
        return
    for key, value in labels.items():
        checks.require(_LABEL_KEY.fullmatch(key), f"{field}.key", _LABEL_KEY_RULE)
        checks.text(f"{field}.value", value, limits.MAX_LABEL_VALUE_CHARACTERS)


def _check_expiration(checks: Checks, field: str, session: spb.SessionFields) -> None:
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
