"""Convert the errors of gRPC to the client's errors, and classify the ends of calls."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from sessionhistory import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOMAIN: Final = "sessionhistory.v1"
DETAILS_KEY: Final = "grpc-status-details-bin"
REQUEST_ID_KEY: Final = "x-request-id"
"""A key of the initial metadata. It means that the service has accepted a stream's first request."""

_KNOWN_DETAILS: Final = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.RequestInfo,
)

_KINDS: Final[dict[grpc.StatusCode, type[errors.SessionHistoryError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExistsError,
    grpc.StatusCode.ABORTED: errors.AbortedError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.INTERNAL: errors.InternalError,
}

_REASONS: Final[dict[str, type[errors.SessionHistoryError]]] = {
    "INVALID_FIELD": errors.InvalidFieldError,
    "INVALID_PAGE_TOKEN": errors.InvalidPageTokenError,
    "MALFORMED_REQUEST": errors.MalformedRequestError,
    "REQUEST_TOO_LARGE": errors.RequestTooLargeError,
    "CREDENTIALS_MISSING": errors.CredentialsMissingError,
    "CREDENTIALS_INVALID": errors.CredentialsInvalidError,
    "CREDENTIALS_EXPIRED": errors.CredentialsExpiredError,
    "SCOPE_MISSING": errors.ScopeMissingError,
    "USER_MISMATCH": errors.UserMismatchError,
    "APPLICATION_MISMATCH": errors.ApplicationMismatchError,
    "API_KEY_NOT_FOUND": errors.ApiKeyNotFoundError,
    "TOO_MANY_API_KEYS": errors.TooManyApiKeysError,
    "TOO_MANY_REFUSED_TOKENS": errors.TooManyRefusedTokensError,
    "API_KEY_WITHOUT_SECRET": errors.ApiKeyWithoutSecretError,
    "SESSION_NOT_FOUND": errors.SessionNotFoundError,
    "MESSAGE_NOT_FOUND": errors.MessageNotFoundError,
    "SESSION_EXISTS": errors.SessionExistsError,
    "MESSAGE_ID_REUSED": errors.MessageIdReusedError,
    "SEQUENCE_MISMATCH": errors.SequenceMismatchError,
    "ETAG_MISMATCH": errors.EtagMismatchError,
    "STATE_VERSION_MISMATCH": errors.StateVersionMismatchError,
    "COMPACTION_MISMATCH": errors.CompactionMismatchError,
    "SESSION_NOT_ACTIVE": errors.SessionNotActiveError,
    "SESSION_NOT_DELETED": errors.SessionNotDeletedError,
    "TOO_MANY_PINNED": errors.TooManyPinnedError,
    "STATE_TOO_LARGE": errors.StateTooLargeError,
    "POOL_EXHAUSTED": errors.PoolExhaustedError,
    "SERVER_OVERLOADED": errors.ServerOverloadedError,
    "LIMIT_REACHED": errors.LimitReachedError,
    "RATE_LIMITED": errors.RateLimitedError,
    "DATABASE_UNAVAILABLE": errors.DatabaseUnavailableError,
    "DATABASE_READ_ONLY": errors.DatabaseReadOnlyError,
    "SCHEMA_OUTDATED": errors.SchemaOutdatedError,
    "SERVER_STOPPING": errors.ServerStoppingError,
    "TOKEN_KEYS_UNAVAILABLE": errors.TokenKeysUnavailableError,
    "TRANSACTION_CONFLICT": errors.TransactionConflictError,
}


def failure(error: Any) -> errors.SessionHistoryError:  # noqa: ANN401 - gRPC's two kinds of call share no type
    """Return the client's error for the error of a call."""
    # As pairs, because the mapping of grpcio 1.62 in asyncio cannot be copied.
    trailing = dict(tuple(error.trailing_metadata() or ()))
    code = error.code() or grpc.StatusCode.UNKNOWN
    known = _details(trailing.get(DETAILS_KEY, b""))
    reason = known.get("reason", "")
    kind = _REASONS.get(reason) or _KINDS.get(code, errors.SessionHistoryError)
    known["request_id"] = known.get("request_id") or trailing.get(REQUEST_ID_KEY, "")
    return kind(error.details() or code.name, code=code, **known)


def deadline_exceeded(seconds: float) -> grpc.aio.AioRpcError:
    """Return gRPC's error for a step that the client itself ended at its time limit."""
    nothing = grpc.aio.Metadata()
    details = f"no answer within {seconds:.1f} seconds"
    return grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing, details=details)


def ended_by_close(error: BaseException) -> bool:
    """Return whether a call failed because its channel was closed.

    In asyncio such a call raises ``CancelledError``, although no caller has cancelled the task.
    """
    match error:
        case asyncio.CancelledError():
            task = asyncio.current_task()
            return task is not None and not task.cancelling()
        case grpc.RpcError():
            return bool(error.code() is grpc.StatusCode.CANCELLED)
        case _:
            return isinstance(error, ValueError)


def _details(serialized: bytes) -> dict[str, Any]:
    """Return the details of a ``google.rpc.Status`` of the service, without its code and message."""
    known: dict[str, Any] = {}
    for detail in _unpacked(serialized):
        match detail:
            case error_details_pb2.ErrorInfo(domain=domain) if domain == _DOMAIN:
                known |= {"reason": detail.reason, "metadata": detail.metadata}
            case error_details_pb2.BadRequest():
                known["violations"] = tuple(
                    errors.FieldViolation(violation.field, violation.description)
                    for violation in detail.field_violations
                )
            case error_details_pb2.RequestInfo(request_id=request_id):
                known["request_id"] = request_id
            case error_details_pb2.RetryInfo(retry_delay=delay):
                known["retry_delay_seconds"] = delay.seconds + delay.nanos / 1e9
    return known


def _unpacked(serialized: bytes) -> Iterator[Any]:
    """Yield the details of known types that can be read. A proxy may have made unreadable ones."""
    try:
        status = Status.FromString(serialized)
    except DecodeError:
        return
    for packed in status.details:
        for kind in _KNOWN_DETAILS:
            if packed.Is(kind.DESCRIPTOR):
                with suppress(DecodeError):
                    yield kind.FromString(packed.value)
