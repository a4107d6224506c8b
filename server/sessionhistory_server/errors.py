"""The errors that callers get. ``rpc.status`` gives each class one gRPC code.

Messages and metadata name fields, limits and ids. They never contain conversation text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

RETRY_DELAY_SECONDS: Final = 1.0
LIMIT_RETRY_DELAY_SECONDS: Final = 60.0


_DEADLINE_PASSED: Final = (
    "the deadline passed; a write may or may not have happened: retry it with the same ids"
)


class FieldViolation(NamedTuple):
    """A field, by its path in the request, and the rule that it breaks."""

    field: str
    description: str


class SessionHistoryError(Exception):
    """The base of all errors that callers get.

    ``reason`` is a stable name and ``metadata`` contains values, both for programs.
    """

    def __init__(self, message: str, *, reason: str, **metadata: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = metadata


class InvalidArgumentError(SessionHistoryError):
    """The request breaks rules of the contract; ``violations`` lists them."""

    def __init__(self, *violations: FieldViolation, reason: str = "INVALID_FIELD") -> None:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{violations[0].field}: {violations[0].description}{more}", reason=reason)
        self.violations = violations


class MalformedRequestError(SessionHistoryError):
    """The bytes of the request are no valid message, or the request is too large."""


class UnauthenticatedError(SessionHistoryError):
    """The call has no valid credential."""


class PermissionDeniedError(SessionHistoryError):
    """The caller may not make this call."""


class NotFoundError(SessionHistoryError):
    """There is no such session or message for this caller."""


class AlreadyExistsError(SessionHistoryError):
    """The id is taken."""


class AbortedError(SessionHistoryError):
    """A value is not the one that the caller expected; the metadata contains the actual value."""


class FailedPreconditionError(SessionHistoryError):
    """The session is not in the state that the call needs."""


class RetryableError(SessionHistoryError):
    """A retry after ``retry_delay_seconds`` may succeed."""

    retry_delay_seconds = RETRY_DELAY_SECONDS


class ResourceExhaustedError(RetryableError):
    """The server is at its capacity."""


class LimitReachedError(ResourceExhaustedError):
    """The call would exceed a limit, set by an operator, of the things that are stored.

    The same call succeeds only after something is removed, or the limit is raised.
    """

    retry_delay_seconds = LIMIT_RETRY_DELAY_SECONDS


class RefusedCallError(ResourceExhaustedError):
    """The call was refused before it was executed, because there are too many calls."""


class RateLimitedError(RefusedCallError):
    """A tenant or a user has made as many calls in this second as an operator allows."""

    def __init__(self, limit: str, maximum: int, retry_delay_seconds: float) -> None:
        super().__init__(
            f"the limit {limit} of {maximum} is reached: retry after the delay in RetryInfo",
            reason="RATE_LIMITED",
            limit=limit,
            max=str(maximum),
        )
        self.retry_delay_seconds = retry_delay_seconds


class UnavailableError(RetryableError):
    """The server cannot execute the call now."""


class DeadlineExceededError(SessionHistoryError):
    """The deadline passed. The outcome of a write is unknown."""

    def __init__(self, message: str = _DEADLINE_PASSED, **metadata: str) -> None:
        super().__init__(message, reason="DEADLINE_EXCEEDED", **metadata)


class UnimplementedError(SessionHistoryError):
    """The server does not know the method."""


class InternalError(SessionHistoryError):
    """The service has a defect; the log describes it under the same request id."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"internal error, see the server's log for request {request_id}",
            reason="INTERNAL",
            request_id=request_id,
        )


def limit_reached(limit: str, maximum: int, count: int, **ids: str) -> LimitReachedError:
    """Return the error for a call that would exceed a limit of stored things.

    Args:
        limit: The name of the limit, a field of ``TenantLimits``.
        maximum: Its value.
        count: The number that the tenant, the user or the session of the caller stores now.
        ids: The caller's own ids, for the metadata.
    """
    return LimitReachedError(
        f"the limit {limit} of {maximum} is reached, and {count} are stored: remove some,"
        " or let the operator raise it",
        reason="LIMIT_REACHED",
        limit=limit,
        max=str(maximum),
        count=str(count),
        **ids,
    )


def too_many_limited_tenants(maximum: int) -> LimitReachedError:
    """Return the error for a limit of one tenant more than may have limits of their own."""
    return LimitReachedError(
        f"{maximum:,} tenants have, or had, limits of their own: set a limit for every tenant instead",
        reason="LIMIT_REACHED",
        limit="limited_tenants",
        max=str(maximum),
    )


def session_not_found(session_id: str, held_until: datetime | None = None) -> NotFoundError:
    """Return the error for a session that is missing, deleted, expired or another user's.

    Args:
        session_id: The id that the caller named.
        held_until: The purge time of the deleted or expired session that holds the id, if the caller owns
            that session, and the call would have created one.
    """
    explanation, metadata = _held(held_until)
    return NotFoundError(
        f"no session {session_id!r}{explanation}",
        reason="SESSION_NOT_FOUND",
        session_id=session_id,
        **metadata,
    )


def session_exists(session_id: str, held_until: datetime | None = None) -> AlreadyExistsError:
    """Return the error for a session id that is taken; ``held_until`` is as in ``session_not_found``."""
    explanation, metadata = _held(held_until)
    return AlreadyExistsError(
        f"the session id {session_id!r} is taken{explanation}",
        reason="SESSION_EXISTS",
        session_id=session_id,
        **metadata,
    )


def _held(until: datetime | None) -> tuple[str, dict[str, str]]:
    """Return an explanation and the metadata for an id that a deleted or expired session holds."""
    if until is None:
        return "", {}
    time = until.isoformat(timespec="microseconds").replace("+00:00", "Z")
    explanation = (
        f": a deleted or expired session holds the id until its purge_time, {time}; restore or purge it"
    )
    if until <= datetime.now(UTC):
        explanation = (
            f": a deleted or expired session holds the id and, since {time}, is about to be removed; purge it"
        )
    return f"{explanation}, or use another id", {"purge_time": time}


def message_not_found(session_id: str, sought: str) -> NotFoundError:
    """Return the error for a message that is not in the session. ``sought`` describes the message."""
    return NotFoundError(
        f"session {session_id!r} has no message {sought}",
        reason="MESSAGE_NOT_FOUND",
        session_id=session_id,
    )


def message_id_reused(message_id: str, index: int, *, batch_size: int) -> AlreadyExistsError:
    """Return the error for a message id that is stored with other fields or without the rest of its batch."""
    taken = f"the message id {message_id!r} is stored already, with other fields"
    return AlreadyExistsError(
        taken if batch_size == 1 else f"messages[{index}]: {taken} or apart from this batch",
        reason="MESSAGE_ID_REUSED",
        message_id=message_id,
        index=str(index),
    )


def message_id_kept(message_id: str, index: int) -> AlreadyExistsError:
    """Return the error for a message id that belongs to a message before the messages to replace."""
    return AlreadyExistsError(
        f"messages[{index}]: the message id {message_id!r} is stored already, before those to replace",
        reason="MESSAGE_ID_REUSED",
        message_id=message_id,
        index=str(index),
    )


def database_unavailable(message: str = "the database is not available") -> UnavailableError:
    """Return the error for calls while the service cannot use Postgres."""
    return UnavailableError(message, reason="DATABASE_UNAVAILABLE")


def database_read_only() -> UnavailableError:
    """Return the error for writes while Postgres serves only reads."""
    return UnavailableError(
        "the database takes no writes at the moment; reads are answered", reason="DATABASE_READ_ONLY"
    )


def transaction_conflict() -> UnavailableError:
    """Return the error for a write that waited too long for another write. Nothing was stored."""
    return UnavailableError("another transaction was in the way", reason="TRANSACTION_CONFLICT")


def read_too_long(seconds: float, advice: str) -> DeadlineExceededError:
    """Return the error for a list that the server ended after this many seconds."""
    return DeadlineExceededError(
        f"the list took longer than the {seconds:g} seconds that one may take: {advice}",
        max_seconds=f"{seconds:g}",
    )


def server_stopping() -> UnavailableError:
    """Return the error for a streamed message that is open when the server stops."""
    return UnavailableError(
        "the server is stopping: send the stream again, with the same message_id", reason="SERVER_STOPPING"
    )


def stream_ending() -> UnavailableError:
    """Return the error for a call that arrives on a stream of calls that ends. Nothing was done."""
    return UnavailableError(
        "the stream ends, and the call had no effect: make the call on another stream", reason="STREAM_ENDING"
    )


def stream_full(maximum: int) -> RefusedCallError:
    """Return the error for a call of a session that has too many calls on a stream. Nothing was done."""
    return RefusedCallError(
        f"the stream has {maximum} calls of this session in progress: retry after the delay in RetryInfo",
        reason="STREAM_FULL",
        max=str(maximum),
    )


def not_begun_in_time() -> DeadlineExceededError:
    """Return the error for a call whose session's earlier calls took too long. Nothing was done."""
    return DeadlineExceededError(
        "the deadline passed before the session's earlier calls on the stream had ended: the call had no"
        " effect"
    )


def method_unknown() -> UnimplementedError:
    """Return the error for a call on a stream with a method that the server does not know, or without one."""
    return UnimplementedError(
        "the call names no method that this server makes on streams: make the call alone",
        reason="METHOD_UNKNOWN",
    )


def server_overloaded() -> ResourceExhaustedError:
    """Return the error for a peer that does not read answers or finish requests while memory is short."""
    return ResourceExhaustedError(
        "the server is short of memory, and this connection has unread answers or unfinished requests",
        reason="SERVER_OVERLOADED",
    )


def too_many_calls(maximum: int, kind: str) -> RefusedCallError:
    """Return the error for a call above the number that a worker accepts. Nothing was done."""
    return RefusedCallError(
        f"the server has {maximum:,} {kind} in progress: retry after the delay in RetryInfo",
        reason="SERVER_OVERLOADED",
    )


def waited_too_long(seconds: float) -> RefusedCallError:
    """Return the error for a call that was not executed, because others came before. Nothing was done."""
    return RefusedCallError(
        f"the server is busy, and did not begin the call within {seconds:g} seconds: retry after the delay in"
        " RetryInfo",
        reason="SERVER_OVERLOADED",
    )


def too_many_watches() -> ResourceExhaustedError:
    """Return the error for a watch of health while there are too many."""
    return ResourceExhaustedError(
        "too many calls watch the health of this server: call Check in place of Watch",
        reason="SERVER_OVERLOADED",
    )


def schema_outdated() -> UnavailableError:
    """Return the error for calls while the database has an older schema than this release needs."""
    return UnavailableError(
        "the database's schema is too old for this server: run `session-history migrate`",
        reason="SCHEMA_OUTDATED",
    )
