"""The errors of calls: a class for each reason of the service, below a class for each gRPC code.

Catch a reason (``SessionNotFoundError``), a kind (``NotFoundError``), or all (``SessionHistoryError``). A
reason that only a newer client knows is raised as an error of its kind. The messages of errors name fields,
limits and ids; they never contain conversation text.
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
    """A call failed. This is the base of all errors of calls."""

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
        """The reason, which does not change between releases; empty if the service did not answer."""
        self.metadata = dict(metadata or {})
        """Ids and actual values, by name."""
        self.violations = violations
        """The invalid fields."""
        self.retry_delay_seconds = retry_delay_seconds
        """How long to wait before a retry may succeed; ``None`` if a retry does not help."""
        self.request_id = request_id
        """The id of the call in the server's log; empty if no server answered."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Preserve the attributes when an error is sent to another process."""
        names = ("code", "reason", "metadata", "violations", "retry_delay_seconds", "request_id")
        return partial(type(self), **{name: getattr(self, name) for name in names}), self.args


class InvalidArgumentError(SessionHistoryError):
    """The request breaks a rule of the contract: correct it."""


class InvalidFieldError(InvalidArgumentError):
    """A field is malformed, missing, too long or too large; ``violations`` names each such field."""


class InvalidPageTokenError(InvalidArgumentError):
    """The page token is not from this list with these filters: start the list again."""


class MalformedRequestError(InvalidArgumentError):
    """The bytes of the request are not a valid message."""


class RequestTooLargeError(InvalidArgumentError):
    """The request is larger than 4 MiB."""


class UnauthenticatedError(SessionHistoryError):
    """The server asks for a key, and the call has no valid one."""


class CredentialsMissingError(UnauthenticatedError):
    """The client has no key: give it one with ``key``."""


class CredentialsInvalidError(UnauthenticatedError):
    """The key is unknown or revoked."""


class CredentialsExpiredError(UnauthenticatedError):
    """The key has expired."""


class PermissionDeniedError(SessionHistoryError):
    """The key does not allow the call."""


class ScopeMissingError(PermissionDeniedError):
    """The key does not have the scope that the call needs; ``metadata`` names it."""


class UserMismatchError(PermissionDeniedError):
    """The key is bound to a user, and the call names another one."""


class ApplicationMismatchError(PermissionDeniedError):
    """The key is bound to an application, and the call names another one."""


class NotFoundError(SessionHistoryError):
    """The session or the message is missing, deleted or expired, or it belongs to another user."""


class SessionNotFoundError(NotFoundError):
    """There is no such session for this caller."""


class MessageNotFoundError(NotFoundError):
    """There is no such message in the session."""


class ApiKeyNotFoundError(NotFoundError):
    """There is no such key in the tenant of this caller, or it is revoked."""


class AlreadyExistsError(SessionHistoryError):
    """The id is taken."""


class SessionExistsError(AlreadyExistsError):
    """The session id is taken."""


class MessageIdReusedError(AlreadyExistsError):
    """A message with this id is stored, with other content or without the rest of its batch."""


class AbortedError(SessionHistoryError):
    """A value is not the one that the caller expected; ``metadata`` has it. Read again and decide again."""


class SequenceMismatchError(AbortedError):
    """``expected_last_sequence`` is not the last sequence of the session."""


class EtagMismatchError(AbortedError):
    """The session has changed since the etag was returned."""


class StateVersionMismatchError(AbortedError):
    """``expected_state_version`` is not the ``state_version`` of the session."""


class CompactionMismatchError(AbortedError):
    """``expected_compacted_through_sequence`` is not the ``compacted_through_sequence`` of the session."""


class FailedPreconditionError(SessionHistoryError):
    """The session is not in a state that allows the call."""


class SessionNotActiveError(FailedPreconditionError):
    """The session is ``COMPLETED`` or ``ABANDONED``: set it ``ACTIVE`` to append."""


class SessionNotDeletedError(FailedPreconditionError):
    """The session is not deleted: there is nothing to restore."""


class TooManyPinnedError(FailedPreconditionError):
    """The session already has 64 pinned messages, the most that it can have."""


class StateTooLargeError(FailedPreconditionError):
    """With the patch the state would be larger than 262,144 bytes."""


class TooManyRefusedTokensError(FailedPreconditionError):
    """The tenant, or all tenants together, have as many refused tokens as the server holds."""


class TooManyApiKeysError(FailedPreconditionError):
    """The tenant, or all tenants together, have the most keys that they can have."""


class ApiKeyWithoutSecretError(FailedPreconditionError):
    """The key has the name of a certificate, and no secret that could be rotated."""


class ResourceExhaustedError(SessionHistoryError):
    """The server is at its capacity."""


class PoolExhaustedError(ResourceExhaustedError):
    """All of the server's connections to the database were in use for too long."""


class ServerOverloadedError(ResourceExhaustedError):
    """The server has too many calls or streams, or is short of memory because of this connection.

    The call had no effect. The client retries it after the server's delay.
    """


class LimitReachedError(ResourceExhaustedError):
    """The tenant, the user or the session stores as much as a limit of the operator allows.

    ``metadata`` has the ``limit``, its value as ``max``, and the ``count``. The client does not retry: the
    call succeeds only after something is removed, or the limit is raised.
    """


class RateLimitedError(ResourceExhaustedError):
    """The tenant or the user has made as many calls in this second as a limit of the operator allows.

    ``metadata`` has the ``limit`` and its value as ``max``. The call had no effect. The client retries it
    after the server's delay.
    """


class UnavailableError(SessionHistoryError):
    """No server can answer now."""


class DatabaseUnavailableError(UnavailableError):
    """The server cannot reach its database."""


class DatabaseReadOnlyError(UnavailableError):
    """The server's database accepts no writes. The server answers reads."""


class SchemaOutdatedError(UnavailableError):
    """The schema of the database is old: run ``session-history migrate``."""


class ServerStoppingError(UnavailableError):
    """The server stops while a message is streamed to it: stream the message again."""


class TokenKeysUnavailableError(UnavailableError):
    """The server cannot read the keys that verify tokens, so it cannot verify this one."""


class TransactionConflictError(UnavailableError):
    """Another transaction held the session for too long."""


class DeadlineExceededError(SessionHistoryError):
    """The deadline passed. A write may have happened: append the same message again to find out."""


class InternalError(SessionHistoryError):
    """The service has a defect. Its log says more under ``request_id``."""
