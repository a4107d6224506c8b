"""Calls and outcomes of CallStream. An outcome is as that of a call made alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio
from google.rpc.error_details_pb2 import ErrorInfo

from sessionhistory._transport.failures import DETAILS_KEY
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from asyncio import Future

    from google.protobuf.message import Message

FIELDS: Final = {
    "AppendMessage": "append_message",
    "AppendMessages": "append_messages",
    "GetHistory": "get_history",
    "ListMessages": "list_messages",
    "GetMessage": "get_message",
    "GetSession": "get_session",
    "UpdateState": "update_state",
}
"""The methods that a stream takes, with the fields of their requests and responses."""

# The client promises no order of concurrent calls: they may use several streams, and be repeated.
HEADER: Final = pb.CallStreamRequest(header=pb.CallStreamHeader(unordered=True))

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_HAD_NO_EFFECT: Final = {"STREAM_ENDING", "STREAM_FULL"}


def add(
    request: pb.CallStreamRequest, number: int, field: str, of_call: Message, seconds: float, request_id: str
) -> int:
    """Add a call to a message of the stream, and return its size in bytes."""
    call = request.calls.add(number=number, request_id=request_id)
    call.timeout.FromNanoseconds(max(int(seconds * 1e9), 1))
    getattr(call, field).CopyFrom(of_call)
    return call.ByteSize()


def answer(caller: Future[Message | None], outcome: pb.CallOutcome) -> grpc.aio.AioRpcError | None:
    """Give an outcome to the caller: the response, the error, or ``None`` if the stream refused the call.

    Return the error of the call, if there is one.
    """
    kind = outcome.WhichOneof("outcome")
    if kind == "error":
        if _had_no_effect(outcome.error):
            caller.set_result(None)
            return None
        error = _error(outcome.error)
    elif kind is None:
        error = failed(grpc.StatusCode.UNKNOWN, "the service's outcome cannot be read")
    else:
        caller.set_result(getattr(outcome, kind))
        return None
    caller.set_exception(error)
    return error


def failed(code: grpc.StatusCode, message: str, details: bytes = b"") -> grpc.aio.AioRpcError:
    """Return the error that a call made alone would raise."""
    trailing = grpc.aio.Metadata((DETAILS_KEY, details))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=message)


def _error(error: pb.CallError) -> grpc.aio.AioRpcError:
    code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
    return failed(code, error.message, error.SerializeToString())


def _had_no_effect(error: pb.CallError) -> bool:
    info = ErrorInfo()
    return any(detail.Unpack(info) and info.reason in _HAD_NO_EFFECT for detail in error.details)
