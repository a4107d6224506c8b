"""The details of a failed call."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.v1.session_history_service_pb2 import CallError


@dataclass
class Failure:
    """A call's error: code, reason, metadata, violations by field, and whether it says when to retry."""

    code: grpc.StatusCode | None = None
    message: str = ""
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    retry_seconds: float | None = None
    request_id: str = ""
    """Only of a call of a CallStream."""


def failure_of(error: grpc.aio.AioRpcError | grpc.RpcError) -> Failure:
    """Read an error and its details."""
    failure = Failure(code=error.code(), message=error.details() or "")
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details is None:
        return failure
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return _with_details(failure, status)


def failure_of_outcome(error: CallError) -> Failure:
    """Read the error of a call of a CallStream."""
    status = status_pb2.Status.FromString(error.SerializeToString())
    code = next(code for code in grpc.StatusCode if code.value[0] == error.code)
    return _with_details(Failure(code, error.message), status)


def _with_details(failure: Failure, status: status_pb2.Status) -> Failure:
    for packed in status.details:
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(packed.value)
            failure.reason, failure.domain = info.reason, info.domain
            failure.metadata = dict(info.metadata)
        elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(packed.value)
            failure.violations = {v.field: v.description for v in bad.field_violations}
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay
            failure.retry_seconds = delay.seconds + delay.nanos / 1e9
        elif packed.Is(error_details_pb2.RequestInfo.DESCRIPTOR):
            failure.request_id = error_details_pb2.RequestInfo.FromString(packed.value).request_id
    return failure


@contextmanager
def fails(code: str, reason: str) -> Iterator[Failure]:
    """Expect a call to fail with a code and a reason; it is in the yielded value after the block."""
    failure = Failure()
    with pytest.raises(grpc.RpcError) as caught:
        yield failure
    failure.__dict__.update(failure_of(caught.value).__dict__)
    assert (failure.code.name if failure.code else None, failure.reason) == (code, reason), failure
    assert failure.domain == "sessionhistory.v1"
