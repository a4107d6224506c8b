"""What a call can fail with: a class for each reason of the service, below one for each gRPC code.

Catch a reason (``SessionNotFoundError``), a kind (``NotFoundError``), or all (``SessionHistoryError``).
A reason that only a newer client knows is raised as its kind. Messages name fields, limits and ids; they
never hold conversation text.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc


class FieldViolation(NamedTuple):
    """A field, by its path in the request, and the rule it breaks."""

    field: str
    description: str


class SessionHistoryError(Exception):
    """Base of all errors of a call."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        retry_delay_seconds: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        """The gRPC code."""
        self.reason = reason
        """The service's reason, stable; empty if it was not the service that answered."""
        self.metadata = dict(metadata or {})
        """Ids and actual values, by name."""
        self.violations = violations
        """The fields at fault."""
        self.retry_delay_seconds = retry_delay_seconds
        """How long to wait before it may help to try again; ``None`` if it will not."""
        self.request_id = request_id
        """By which the server's log knows the call; empty if no server answered."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the attributes when an error is sent to another process."""
        names = ("code", "reason", "metadata", "violations", "retry_delay_seconds", "request_id")
        return partial(type(self), **{name: getattr(self, name) for name in names}), self.args


class InvalidArgumentError(SessionHistoryError):
    """The request breaks a rule of the contract: mend it."""


class InvalidFieldError(InvalidArgumentError):
    """A field is malformed, missing, too long or too big; ``violations`` names each."""


class InvalidPageTokenError(InvalidArgumentError):
    """The page token is not one of this list with these filters: start the list again."""


class MalformedRequestError(InvalidArgumentError):
    """The bytes of the request are no valid message."""


class RequestTooLargeError(InvalidArgumentError):
    """The request is larger than 4 MiB."""


class NotFoundError(SessionHistoryError):
    """It is missing, deleted, expired, or another user's."""


class SessionNotFoundError(NotFoundError):
    """There is no such session for this caller."""


class MessageNotFoundError(NotFoundError):
    """There is no such message in the session."""


class AlreadyExistsError(SessionHistoryError):
    """The id is taken."""


class SessionExistsError(AlreadyExistsError):
    """The session id is taken."""


class MessageIdReusedError(AlreadyExistsError):
    """The message id is stored with other content, or without its batch."""


class AbortedError(SessionHistoryError):
    """What the caller expected is no longer so; the metadata has the actual value. Read and decide again."""


class SequenceMismatchError(AbortedError):
    """``expected_last_sequence`` is not the session's."""


class EtagMismatchError(AbortedError):
    """The session has changed since the etag was returned."""


class StateVersionMismatchError(AbortedError):
    """``expected_state_version`` is not that of the session's state."""


class CompactionMismatchError(AbortedError):
    """``expected_compacted_through_sequence`` is not the session's."""


class FailedPreconditionError(SessionHistoryError):
    """The session is not in a state for this."""


class SessionNotActiveError(FailedPreconditionError):
    """The session is COMPLETED or ABANDONED: set it ACTIVE to append."""


class SessionNotDeletedError(FailedPreconditionError):
    """The session is live: there is nothing to restore."""


class TooManyPinnedError(FailedPreconditionError):
    """The session has its 64 pinned messages."""


class StateTooLargeError(FailedPreconditionError):
    """The patch would make a state of more than 262,144 bytes."""


class ResourceExhaustedError(SessionHistoryError):
    """The server is at its capacity."""


class PoolExhaustedError(ResourceExhaustedError):
    """All connections to the database were in use for too long."""


class UnavailableError(SessionHistoryError):
    """No server, or one that cannot answer now."""


class DatabaseUnavailableError(UnavailableError):
    """The server cannot reach its database."""


class SchemaOutdatedError(UnavailableError):
    """The database waits for ``session-history migrate``."""


class ServerStoppingError(UnavailableError):
    """The server stops while a message is streamed to it: stream it again."""


class TransactionConflictError(UnavailableError):
    """Another transaction held the session for too long."""


class DeadlineExceededError(SessionHistoryError):
    """The time was up. A write may have happened: append the same message again to find out."""


class InternalError(SessionHistoryError):
    """A defect of the service; its log has more under ``request_id``."""
