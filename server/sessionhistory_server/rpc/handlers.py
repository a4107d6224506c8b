"""How bytes reach a servicer: parsed here, so that bad ones get our answer, and under a deadline."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.errors import DeadlineExceededError, MalformedRequestError
from sessionhistory_server.limits import MAX_REQUEST_BYTES
from sessionhistory_server.rpc.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

    from sessionhistory_server.config import Settings
    from sessionhistory_server.rpc.base import Servicer
    from sessionhistory_server.rpc.pieces import OpenStreams

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Callable[[bytes, Context], Awaitable[bytes]]

SERVICE: Final = pb.DESCRIPTOR.services_by_name["SessionHistoryService"]


def generic_handler(
    servicers: Sequence[Servicer], settings: Settings, streams: OpenStreams
) -> grpc.GenericRpcHandler:
    """Return the handlers of all methods of the service."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in SERVICE.methods:
        if method.client_streaming:
            streaming = _streaming(
                _method(servicers, method.name),
                partial(_parse, GetMessageClass(method.input_type)),
                settings,
                streams,
            )
            handlers[method.name] = grpc.stream_unary_rpc_method_handler(streaming)
            continue
        behaviour = _behaviour(
            _method(servicers, method.name),
            GetMessageClass(method.input_type),
            settings.default_deadline_seconds,
        )
        handlers[method.name] = grpc.unary_unary_rpc_method_handler(behaviour)
    return grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)


def _method(servicers: Sequence[Servicer], name: str) -> Callable[[Any], Awaitable[Message]]:
    (method,) = [getattr(servicer, name) for servicer in servicers if hasattr(servicer, name)]
    return method  # type: ignore[no-any-return] # found by its name


def seconds_left(context: Context) -> float | None:
    """Return how long the caller still waits; ``None`` if it named no deadline."""
    remaining: float | None = context.time_remaining()
    return remaining


def _behaviour(
    method: Callable[[Any], Awaitable[Message]],
    request_type: type[Message],
    default_deadline_seconds: float,
) -> Handler:
    async def call(data: bytes, context: Context) -> bytes:
        request = _parse(request_type, data)
        # At the caller's own deadline gRPC cancels us: an answer then would be one to nobody, which it logs.
        if seconds_left(context) is not None:
            response = await method(request)
        else:
            response = await _within(default_deadline_seconds, method(request))
        return response.SerializeToString()

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


async def _within(seconds: float, work: Awaitable[Message]) -> Message:
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
