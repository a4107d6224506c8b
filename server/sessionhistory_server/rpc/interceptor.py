"""The interceptor that gRPC calls: it reads the metadata of each call, and aborts a call that fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.credentials.errors import scope_missing
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.model.caller import WRITE
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.invoke import recorded
from sessionhistory_server.rpc.request_ids import is_request_id, new_request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.peers.connection import Context, Exchange
    from sessionhistory_server.rpc.peers.watcher import PeerWatcher
    from sessionhistory_server.rpc.receive import Receiver

    Handler = grpc.RpcMethodHandler[Any, Any]
    Receive = Callable[[Method, Exchange, Context], Awaitable[bytes | None]]

REQUEST_ID_KEY: Final = "x-request-id"
AUTHORIZATION_KEY: Final = "authorization"

_NO_METHOD: Final = ("", None)

# The socket on which the server calls itself has no TLS, and other programs of this machine can find it.
_OWN_SOCKET: Final = "unix:"


class Interceptor(grpc.GenericRpcHandler):
    """An interceptor that returns the handlers of all methods to gRPC.

    Each method is wrapped once. gRPC would ask a separate interceptor again at every call. To gRPC each
    method takes a stream of requests, which looks the same on the wire. So the server itself limits the wait
    for the request.
    """

    def __init__(self, methods: Iterable[Method], receiver: Receiver, watcher: PeerWatcher) -> None:
        self._receiver = receiver
        self._watcher = watcher
        self._methods = {method.path: (method.name, self._handler(method)) for method in methods}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a method; ``None``: there is none.

        gRPC calls this in the task of the call and passes its metadata, which costs more to read later.
        """
        name, handler = self._methods.get(handler_call_details.method, _NO_METHOD)
        if handler is not None:
            request_id, authorization = _read(handler_call_details.invocation_metadata)
            call_context.begin(CallContext(request_id, name, authorization=authorization))
        return handler

    def _handler(self, method: Method) -> Handler:
        receiver = self._receiver
        if method.streams_responses:
            receive = receiver.both_streams if method.streams_requests else receiver.server_stream
            return grpc.stream_stream_rpc_method_handler(self._wrap(method, receive))
        once = receiver.client_stream if method.streams_requests else receiver.unary
        return grpc.stream_unary_rpc_method_handler(self._wrap(method, once))

    def _wrap(self, method: Method, receive: Receive) -> Callable[[object, Context], Any]:
        """Return the function that gRPC runs for each call of a method."""

        async def call(_: object, context: Context) -> bytes | None:
            began = time.monotonic()
            request_id = call_context.current().request_id
            context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
            exchange = self._watcher.enter(context, began, is_open=method.terms.is_open)
            is_refused = not method.terms.is_open and exchange.connection.peer.startswith(_OWN_SOCKET)
            work = _refuse(method) if is_refused else receive(method, exchange, context)
            outcome = await recorded(method, began, work, context)
            if isinstance(outcome, SessionHistoryError):
                await self._receiver.pace(outcome)
                await _abort(context, outcome, request_id)
                return None
            if outcome is not None:
                exchange.answered_once(len(outcome))
            return outcome

        return call


async def _refuse(method: Method) -> None:
    raise scope_missing(
        method.name, method.terms.scope or WRITE, has_credential=False
    )  # calls of a CallStream may write


async def _abort(context: Context, error: SessionHistoryError, request_id: str) -> None:
    metadata = ((REQUEST_ID_KEY, request_id), (status.DETAILS_KEY, status.details_of(error)))
    await context.abort(status.code_of(error), str(error), metadata)


def _read(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str, str | None]:
    """Return the id of the call, the caller's if it is valid, and the credential if there is one.

    Of several credentials none counts: the text is then empty, which is no valid credential.
    """
    request_id, authorization = None, None
    for key, value in metadata:
        if key == REQUEST_ID_KEY and request_id is None:
            request_id = value if isinstance(value, str) and is_request_id(value) else None
        elif key == AUTHORIZATION_KEY:
            authorization = value if isinstance(value, str) and authorization is None else ""
    return request_id or new_request_id(), authorization
