"""How bytes reach a servicer: parsed here, so that bad ones get our answer, and under a deadline."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.errors import DeadlineExceededError, MalformedRequestError
from sessionhistory_server.limits import MAX_REQUEST_BYTES
from sessionhistory_server.rpc.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from sessionhistory_server.config import Settings
    from sessionhistory_server.rpc.base import Servicer
    from sessionhistory_server.rpc.pieces import OpenStreams

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Callable[[bytes, Context], Awaitable[bytes]]

T = TypeVar("T")

# The caller's clock started earlier than ours, by as long as the request took to come.
_SLACK_SECONDS: Final = 0.1

SERVICE: Final = pb.DESCRIPTOR.services_by_name["SessionHistoryService"]


def generic_handler(
    servicers: Sequence[Servicer], settings: Settings, streams: OpenStreams
) -> grpc.GenericRpcHandler:
    """Return the handlers of all methods of the service."""
    handlers = {
        method.name: _handler(method, _method(servicers, method.name), settings, streams)
        for method in SERVICE.methods
    }
    return grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)


def _handler(
    method: MethodDescriptor, called: Callable[..., Awaitable[Any]], settings: Settings, streams: OpenStreams
) -> grpc.RpcMethodHandler[Any, Any]:
    parse = partial(_parse, GetMessageClass(method.input_type))
    seconds = settings.default_deadline_seconds
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(_streaming(called, parse, settings, streams))
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_answering(called, parse, seconds))
    return grpc.unary_unary_rpc_method_handler(_behaviour(called, parse, seconds))


def _method(servicers: Sequence[Servicer], name: str) -> Callable[..., Awaitable[Any]]:
    (method,) = [getattr(servicer, name) for servicer in servicers if hasattr(servicer, name)]
    return method  # type: ignore[no-any-return] # found by its name


def seconds_left(context: Context) -> float | None:
    """Return how long the caller still waits; ``None`` if it named no deadline."""
    remaining: float | None = context.time_remaining()
    return remaining


def cancelled_code(context: Context) -> grpc.StatusCode:
    """Return what has become of a call that is cancelled: its caller has gone, or its time is up."""
    remaining = seconds_left(context)
    expired = remaining is not None and remaining <= _SLACK_SECONDS
    return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED


class Answers:
    """The way back for a method that answers several times."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def send(self, response: bytes) -> None:
        """Send an answer, as soon as there is room for it on the way.

        Raises:
            CancelledError: the call has ended meanwhile.
        """
        try:
            await self._context.write(response)
        except (grpc.aio.InternalError, grpc.aio.UsageError) as error:
            raise asyncio.CancelledError from error

    @property
    def cancelled_code(self) -> grpc.StatusCode:
        """What has become of the call, if it is cancelled."""
        return cancelled_code(self._context)


def _behaviour(
    method: Callable[[Any], Awaitable[Message]],
    parse: Callable[[bytes], Message],
    default_deadline_seconds: float,
) -> Handler:
    async def call(data: bytes, context: Context) -> bytes:
        request = parse(data)
        # At the caller's own deadline gRPC cancels us: an answer then would be one to nobody, which it logs.
        if seconds_left(context) is not None:
            response = await method(request)
        else:
            response = await _within(default_deadline_seconds, method(request))
        return response.SerializeToString()

    return call


def _answering(
    method: Callable[..., Awaitable[None]], parse: Callable[[bytes], Message], default_deadline_seconds: float
) -> Callable[[bytes, Context], Awaitable[None]]:
    async def call(data: bytes, context: Context) -> None:
        work = method(parse(data), Answers(context))
        await (work if seconds_left(context) is not None else _within(default_deadline_seconds, work))

    return call


def _streaming(
    method: Callable[[Any], Awaitable[Message]],
    parse: Callable[[bytes], Message],
    settings: Settings,
    streams: OpenStreams,
) -> Callable[[Any, Context], Awaitable[bytes]]:
    async def call(_: object, context: Context) -> bytes:
        pieces = Pieces(
            context,
            parse,
            streams,
            idle_seconds=settings.stream_idle_seconds,
            default_deadline_seconds=settings.default_deadline_seconds,
        )
        return (await method(pieces)).SerializeToString()

    return call


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise DeadlineExceededError from error


def _parse(request_type: type[Message], data: bytes) -> Message:
    if len(data) > MAX_REQUEST_BYTES:
        raise MalformedRequestError(
            f"the request has more than {MAX_REQUEST_BYTES} bytes",
            reason="REQUEST_TOO_LARGE",
            max_bytes=str(MAX_REQUEST_BYTES),
        )
    try:
        return request_type.FromString(data)
    except DecodeError as error:
        raise MalformedRequestError(
            f"the request is no valid {request_type.DESCRIPTOR.full_name}: check that client and server"
            " use the same protos, and that strings are UTF-8",
            reason="MALFORMED_REQUEST",
        ) from error
