"""The errors of the service. Each kind becomes one gRPC code in ``rpc.status``.

Messages and metadata name fields, limits and ids; they never hold conversation text.
"""

from __future__ import annotations

from typing import Final, NamedTuple

RETRY_DELAY_SECONDS: Final = 1.0

_DEADLINE_PASSED: Final = (
    "the deadline passed; a write may or may not have happened: retry it with the same ids"
)


class FieldViolation(NamedTuple):
    """A field, by its path in the request, and the rule it breaks."""

    field: str
    description: str


class SessionHistoryError(Exception):
    """Base of all errors that a caller is told.

    ``reason`` is stable and machine-readable; ``metadata`` holds what a program may want to know.
    """

    def __init__(self, message: str, *, reason: str, **metadata: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = metadata


class InvalidArgumentError(SessionHistoryError):
    """The request breaks a rule of the contract; ``violations`` says which."""

    def __init__(self, *violations: FieldViolation, reason: str = "INVALID_FIELD") -> None:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{violations[0].field}: {violations[0].description}{more}", reason=reason)
        self.violations = violations


class MalformedRequestError(SessionHistoryError):
    """The request is no valid message, or larger than the limit."""


class NotFoundError(SessionHistoryError):
    """There is no such session or message for this caller."""


class AlreadyExistsError(SessionHistoryError):
    """The id is taken."""


class AbortedError(SessionHistoryError):
    """What the caller expected is no longer so; the actual value is in the metadata."""


class FailedPreconditionError(SessionHistoryError):
    """The session is not in a state for this."""


class RetryableError(SessionHistoryError):
    """Waiting ``retry_delay_seconds`` may help."""

    retry_delay_seconds = RETRY_DELAY_SECONDS


class ResourceExhaustedError(RetryableError):
    """The server is at its capacity."""


class UnavailableError(RetryableError):
    """The server cannot answer now."""


class DeadlineExceededError(SessionHistoryError):
    """The deadline passed. The outcome of a write is unknown."""

    def __init__(self, message: str = _DEADLINE_PASSED) -> None:
        super().__init__(message, reason="DEADLINE_EXCEEDED")


class InternalError(SessionHistoryError):
    """A defect of the service; the log has more under the same request id."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"internal error, see the server's log for request {request_id}",
            reason="INTERNAL",
            request_id=request_id,
        )


def session_not_found(session_id: str) -> NotFoundError:
    """Return the error for a session that is missing, deleted, expired or another's."""
    return NotFoundError(f"no session {session_id!r}", reason="SESSION_NOT_FOUND", session_id=session_id)


def session_exists(session_id: str) -> AlreadyExistsError:
    """Return the error for a session id that is taken."""
    return AlreadyExistsError(
        f"the session id {session_id!r} is taken", reason="SESSION_EXISTS", session_id=session_id
    )


def message_not_found(session_id: str, sought: str) -> NotFoundError:
    """Return the error for a message that is not in the session."""
    return NotFoundError(
        f"session {session_id!r} has no message {sought}",
        reason="MESSAGE_NOT_FOUND",
        session_id=session_id,
    )


def message_id_reused(message_id: str, index: int, *, batch_size: int) -> AlreadyExistsError:
    """Return the error for a message id that is stored with other content, or without its batch."""
    taken = f"the message id {message_id!r} is stored already, with other fields"
    return AlreadyExistsError(
        taken if batch_size == 1 else f"messages[{index}]: {taken} or apart from this batch",
        reason="MESSAGE_ID_REUSED",
        message_id=message_id,
        index=str(index),
    )


def message_id_kept(message_id: str, index: int) -> AlreadyExistsError:
    """Return the error for a message id that is stored among the messages that are not replaced."""
    return AlreadyExistsError(
        f"messages[{index}]: the message id {message_id!r} is stored already, before those to replace",
        reason="MESSAGE_ID_REUSED",
        message_id=message_id,
        index=str(index),
    )


def database_unavailable(message: str = "the database is not available") -> UnavailableError:
    """Return the error while Postgres cannot be reached, or cannot be served from."""
    return UnavailableError(message, reason="DATABASE_UNAVAILABLE")


def server_stopping() -> UnavailableError:
    """Return the error for a stream that is open when the server stops."""
    return UnavailableError(
        "the server is stopping: send the stream again, with the same message_id", reason="SERVER_STOPPING"
    )


def schema_outdated() -> UnavailableError:
    """Return the error while the database's schema is older than this release needs."""
    return UnavailableError(
        "the database's schema is too old for this server: run `session-history migrate`",
        reason="SCHEMA_OUTDATED",
    )
