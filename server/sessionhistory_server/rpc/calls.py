"""What happens around every call: request id, errors, metrics, access log."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
import time
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from sessionhistory_server import logs
from sessionhistory_server.errors import InternalError, SessionHistoryError
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.handlers import SERVICE, cancelled_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sessionhistory_server.metrics import Metrics
    from sessionhistory_server.rpc.handlers import Context

    Behaviour = Callable[..., Any]  # gRPC has types for threads alone
    Handler = grpc.RpcMethodHandler[Any, Any]

REQUEST_ID_KEY: Final = "x-request-id"

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:@/-]{1,128}")

_log = logging.getLogger(__name__)


class Calls(grpc.GenericRpcHandler):
    """Answers the calls of all services that are added to it, as they are to a server.

    Every call is wrapped that has one answer, whatever its service, or is ours; others' streams of answers
    are left as they are.
    A method is wrapped once: an interceptor would be asked for every call.
    """

    def __init__(self, metrics: Metrics, *, slow_call_millis: int) -> None:
        self._metrics = metrics
        self._slow_seconds = slow_call_millis / 1_000
        self._services: list[grpc.GenericRpcHandler] = []
        self._handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Add services."""
        self._services += handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add nothing: what generated code gives here it gives as a service too."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a method; ``None``: there is none."""
        handler = self._handlers.get(handler_call_details.method)
        return handler or self._find(handler_call_details)

    def _find(self, details: grpc.HandlerCallDetails) -> Handler | None:
        found = filter(None, (service.service(details) for service in self._services))
        handler = next(found, None)
        if handler is None:
            return None
        if handler.unary_unary is not None:
            handler = grpc.unary_unary_rpc_method_handler(
                self._wrap(details.method, handler.unary_unary, self._slow_seconds),
                handler.request_deserializer,
                handler.response_serializer,
            )
        elif handler.stream_unary is not None:
            # Never slow: it takes as long as its caller.
            handler = grpc.stream_unary_rpc_method_handler(
                self._wrap(details.method, handler.stream_unary, math.inf)
            )
        elif handler.unary_stream is not None and details.method.startswith(f"/{SERVICE.full_name}/"):
            # Never slow: the calls in it are.
            handler = grpc.unary_stream_rpc_method_handler(
                self._wrap(details.method, handler.unary_stream, math.inf)
            )
        self._handlers[details.method] = handler
        return handler

    def _wrap(self, method: str, behaviour: Behaviour, slow_seconds: float) -> Behaviour:
        # A method of ours by its own name, another service's with the service's.
        name = method.removeprefix("/").removeprefix(f"{SERVICE.full_name}/")
        ended = ending(self._metrics, name, slow_seconds)

        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - any service's
            started = time.perf_counter()
            request_id = _request_id(context)
            logs.bind(request_id=request_id, method=name)
            context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
            code = grpc.StatusCode.OK
            try:
                return await behaviour(request, context)
            except SessionHistoryError as error:
                code = status.code_of(error)
                await _abort(context, error, request_id)
            except asyncio.CancelledError:
                code = cancelled_code(context)
                raise
            except grpc.aio.AbortError:
                code = grpc.StatusCode(context.code())  # another service's own answer
                raise
            except Exception:  # noqa: BLE001 - the last resort: nothing of it may reach the caller
                code = grpc.StatusCode.INTERNAL
                _log.exception("internal error")
                await _abort(context, InternalError(request_id), request_id)
            finally:
                ended(code, started)

        return call


def ending(metrics: Metrics, name: str, slow_seconds: float) -> Callable[[grpc.StatusCode, float], None]:
    """Return what counts and logs a call that ends: by its code, and when it started."""
    count = metrics.calls_of(name)

    def ended(code: grpc.StatusCode, started: float) -> None:
        seconds = time.perf_counter() - started
        count(code.name, seconds)
        _log_call(code, seconds, slow=seconds >= slow_seconds)

    return ended


def _log_call(code: grpc.StatusCode, seconds: float, *, slow: bool) -> None:
    if slow:
        level, event = logging.WARNING, "slow call"
    else:
        level, event = logging.DEBUG if code is grpc.StatusCode.OK else logging.INFO, "call"
    if _log.isEnabledFor(level):
        _log.log(level, event, extra={"code": code.name, "millis": round(seconds * 1_000, 1)})


async def _abort(context: Context, error: SessionHistoryError, request_id: str) -> None:
    metadata = ((REQUEST_ID_KEY, request_id), (status.DETAILS_KEY, status.details_of(error)))
    await context.abort(status.code_of(error), str(error), metadata)


def _request_id(context: Context) -> str:
    """Return the caller's id for the call if it is one, else a new one."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return f"{random.getrandbits(64):016x}"
