"""What happens around every call: request id, errors, metrics, access log."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from sessionhistory_server import logs
from sessionhistory_server.errors import InternalError, SessionHistoryError
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.handlers import SERVICE, seconds_left

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.metrics import Metrics
    from sessionhistory_server.rpc.handlers import Context

    Behaviour = Callable[[Any, Context], Awaitable[Any]]
    Handler = grpc.RpcMethodHandler[Any, Any]

REQUEST_ID_KEY: Final = "x-request-id"

# The caller's clock started earlier than ours, by as long as the request took to come.
_SLACK_SECONDS: Final = 0.1

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:@/-]{1,128}")

_log = logging.getLogger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every unary call, whatever its service; streams are left as they are."""

    def __init__(self, metrics: Metrics, *, slow_call_millis: int) -> None:
        self._metrics = metrics
        self._slow_seconds = slow_call_millis / 1_000
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - any service's handler, or None
        """Return the method's handler, wrapped; each method is wrapped once."""
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None or handler.unary_unary is None:
                return handler
            self._wrapped[method] = grpc.unary_unary_rpc_method_handler(
                self._wrap(method, handler.unary_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return self._wrapped[method]

    def _wrap(self, method: str, behaviour: Behaviour) -> Behaviour:
        # A method of ours by its own name, another service's with the service's.
        name = method.removeprefix("/").removeprefix(f"{SERVICE.full_name}/")
        count = self._metrics.calls_of(name)

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
                code = _cancelled_code(context)
                raise
            except grpc.aio.AbortError:
                code = grpc.StatusCode(context.code())  # another service's own answer
                raise
            except Exception:  # noqa: BLE001 - the last resort: nothing of it may reach the caller
                code = grpc.StatusCode.INTERNAL
                _log.exception("internal error")
                await _abort(context, InternalError(request_id), request_id)
            finally:
                seconds = time.perf_counter() - started
                count(code.name, seconds)
                self._log(code, seconds)

        return call

    def _log(self, code: grpc.StatusCode, seconds: float) -> None:
        if seconds >= self._slow_seconds:
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
    return secrets.token_hex(8)


def _cancelled_code(context: Context) -> grpc.StatusCode:
    remaining = seconds_left(context)
    expired = remaining is not None and remaining <= _SLACK_SECONDS
    return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
