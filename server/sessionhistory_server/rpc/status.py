"""Convert the service's errors to google.rpc.Status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from sessionhistory_server import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from sessionhistory.v1.session_history_service_pb2 import CallError

DOMAIN: Final = "sessionhistory.v1"
DETAILS_KEY: Final = "grpc-status-details-bin"

_CODES: Final = (
    (errors.InvalidArgumentError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.MalformedRequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExistsError, grpc.StatusCode.ALREADY_EXISTS),
    (errors.AbortedError, grpc.StatusCode.ABORTED),
    (errors.FailedPreconditionError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ResourceExhaustedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (errors.DeadlineExceededError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.UnimplementedError, grpc.StatusCode.UNIMPLEMENTED),
    (errors.InternalError, grpc.StatusCode.INTERNAL),
)


def code_of(error: errors.SessionHistoryError) -> grpc.StatusCode:
    """Return the gRPC code of an error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def details_of(error: errors.SessionHistoryError) -> bytes:
    """Return an error as a serialized google.rpc.Status, with its details."""
    status = Status()
    _fill(status, error)
    serialized: bytes = status.SerializeToString()
    return serialized


def fill_call_error(error: errors.SessionHistoryError, request_id: str, response: CallError) -> None:
    """Fill in the error of a call of a stream, with its details and the id of the call."""
    _fill(response, error)
    response.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))


def _fill(status: Status | CallError, error: errors.SessionHistoryError) -> None:
    """Fill in a status: the code, the text and the details of an error."""
    status.code = code_of(error).value[0]
    status.message = str(error)
    for detail in _details(error):
        status.details.add().Pack(detail)


def _details(error: errors.SessionHistoryError) -> Iterator[Message]:
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    if isinstance(error, errors.InvalidArgumentError):
        yield error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
                for v in error.violations
            ]
        )
    if isinstance(error, errors.RetryableError):
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_delay_seconds * 1_000))
        yield error_details_pb2.RetryInfo(retry_delay=delay)
