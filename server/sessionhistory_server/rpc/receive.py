"""Receive a call: read its request, make its ``Caller``, set its deadline, and invoke its method."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from sessionhistory_server import call_context
from sessionhistory_server.errors import MalformedRequestError
from sessionhistory_server.limits import MAX_REQUEST_BYTES
from sessionhistory_server.model.caller import ALL_SCOPES, DEFAULT_TENANT, Caller
from sessionhistory_server.rpc.deadlines import seconds_left, within
from sessionhistory_server.rpc.invoke import invoke
from sessionhistory_server.rpc.streaming.reader import Reader
from sessionhistory_server.rpc.streaming.sender import Sender

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.peers.connection import Context, Exchange
    from sessionhistory_server.rpc.streaming.waits import StreamRules


class Receiver:
    """A receiver of calls, with one method for each kind of RPC.

    Args:
        rules: The default deadline of all calls, and the waits of streams.
        must_name_user: Whether each call must name the user that it acts for.
    """

    def __init__(self, rules: StreamRules, *, must_name_user: bool) -> None:
        self._rules = rules
        self._must_name_user = must_name_user

    async def unary(self, method: Method, exchange: Exchange, context: Context) -> bytes:
        """Answer a single request with a single response."""
        request = parse(method.request_type, await exchange.request())
        limited = _limit(context, self._rules.default_deadline_seconds)
        caller, response = self._caller(method, request), method.response_type()
        if method.terms.is_large and not exchange.connection.has_small_answers:
            work = exchange.connection.run_with_budget(invoke, caller, method, request, response)
        else:
            work = invoke(caller, method, request, response)
        # gRPC cancels the call at the caller's own deadline. No answer after it would arrive.
        await (work if limited is None else within(limited, work))
        return response.SerializeToString()

    async def server_stream(self, method: Method, exchange: Exchange, context: Context) -> None:
        """Answer a single request with a stream of responses. A stream that lasts has no default deadline."""
        request = parse(method.request_type, await exchange.request())
        exchange.release()
        default = None if method.terms.lasts else self._rules.default_deadline_seconds
        limited = _limit(context, default)
        sender = Sender(context, exchange, self._rules)
        await within(limited, invoke(self._caller(method, request), method, request, sender))

    async def client_stream(self, method: Method, exchange: Exchange, context: Context) -> bytes:
        """Answer a stream of requests with a single response."""
        reader, response = self._reader(method, exchange, context), method.response_type()
        await reader.begin()
        await invoke(self._caller(method, reader.first), method, reader, response)
        return response.SerializeToString()

    async def both_streams(self, method: Method, exchange: Exchange, context: Context) -> None:
        """Answer a stream of requests with a stream of responses."""
        reader = self._reader(method, exchange, context)
        await reader.begin()
        sender = Sender(context, exchange, self._rules)
        await invoke(self._caller(method, reader.first), method, reader, sender)

    def _reader(self, method: Method, exchange: Exchange, context: Context) -> Reader[Message]:
        return Reader(context, exchange, partial(parse, method.request_type), self._rules)

    def _caller(self, method: Method, request: Message | None) -> Caller:
        """Make the caller of a call. Every caller has all scopes until there are credentials."""
        return Caller(
            tenant_id=DEFAULT_TENANT,
            application_id=None,
            user_id=None if request is None else method.user_of(request) or None,
            scopes=ALL_SCOPES,
            log_id=call_context.current().request_id,
            must_name_user=self._must_name_user,
        )


def _limit(context: Context, default_seconds: float | None) -> float | None:
    """Set the deadline of the call's work; return the seconds if they are the default, not the caller's."""
    seconds = seconds_left(context)
    limit = default_seconds if seconds is None else seconds
    if limit is not None:
        call_context.current().limit(limit)
    return default_seconds if seconds is None else None


def parse(request_type: type[Message], data: bytes) -> Any:  # noqa: ANN401 - a message of that type
    """Parse the bytes of a message.

    Raises:
        MalformedRequestError: the message is too large, or the bytes are no valid message.
    """
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
