"""Receive a call: read its request, make its ``Caller``, set its deadline, and invoke its method."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from sessionhistory_server import call_context
from sessionhistory_server.errors import MalformedRequestError
from sessionhistory_server.limits import MAX_REQUEST_BYTES
from sessionhistory_server.model.caller import Caller
from sessionhistory_server.rpc.binding import acting_user
from sessionhistory_server.rpc.deadlines import seconds_left, within
from sessionhistory_server.rpc.invoke import invoke
from sessionhistory_server.rpc.streaming.reader import Reader
from sessionhistory_server.rpc.streaming.sender import Sender

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.errors import SessionHistoryError
    from sessionhistory_server.rpc.authentication import Authentication
    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.load.control import LoadControl
    from sessionhistory_server.rpc.peers.connection import Context, Exchange
    from sessionhistory_server.rpc.streaming.credential import StreamCredential
    from sessionhistory_server.rpc.streaming.waits import StreamRules


class Receiver:
    """A receiver of calls, with one method for each kind of RPC.

    Args:
        rules: The default deadline of all calls, and the waits of streams.
        authentication: Identifies the caller of each call, before its request is read.
        load: Admits each call before its request is read, and lets it wait for its turn.
    """

    def __init__(self, rules: StreamRules, authentication: Authentication, load: LoadControl) -> None:
        self._rules = rules
        self._authentication = authentication
        self._load = load

    async def unary(self, method: Method, exchange: Exchange, context: Context) -> bytes:
        """Answer a single request with a single response."""
        identity = await self._authentication.identify(method, context)
        self._load.refuse_early(method, identity.tenant_id)
        request = parse(method.request_type, await exchange.request())
        limited = _limit(context, self._rules.default_deadline_seconds)
        caller, response = _caller(identity, method, request), method.response_type()
        connection = exchange.connection
        is_large = method.terms.is_large and not connection.has_small_answers
        steps = (connection.run_with_budget, invoke) if is_large else (invoke,)
        work = self._load.run(method, caller, connection, *steps, caller, method, request, response)
        # gRPC cancels the call at the caller's own deadline. No answer after it would arrive.
        await (work if limited is None else within(limited, work))
        return response.SerializeToString()

    async def server_stream(self, method: Method, exchange: Exchange, context: Context) -> None:
        """Answer a single request with a stream of responses. A stream that lasts has no default deadline."""
        identity = await self._authentication.identify(method, context)
        self._load.refuse_early(method, identity.tenant_id)
        request = parse(method.request_type, await exchange.request())
        exchange.release()
        default = None if method.terms.lasts else self._rules.default_deadline_seconds
        limited = _limit(context, default)
        sender = Sender(context, exchange, self._rules)
        caller = _caller(identity, method, request)
        with (
            self._load.admit(method, identity.tenant_id),
            self._authentication.stream(method, context) as credential,
        ):
            await credential.during(within(limited, invoke(caller, method, request, sender)))

    async def client_stream(self, method: Method, exchange: Exchange, context: Context) -> bytes:
        """Answer a stream of requests with a single response. Its turn ends when the stream is accepted."""
        identity = await self._authentication.identify(method, context)
        self._load.refuse_early(method, identity.tenant_id)
        response = method.response_type()
        with self._authentication.stream(method, context) as credential:
            reader = self._reader(method, exchange, context, credential)
            await reader.begin()
            caller = _caller(identity, method, reader.first)
            work = (invoke, caller, method, reader, response)
            await self._load.run(method, caller, exchange.connection, *work)
        return response.SerializeToString()

    async def both_streams(self, method: Method, exchange: Exchange, context: Context) -> None:
        """Answer a stream of requests with a stream of responses."""
        identity = await self._authentication.identify(method, context)
        self._load.refuse_early(method, identity.tenant_id)
        with self._authentication.stream(method, context) as credential:
            reader = self._reader(method, exchange, context, credential)
            await reader.begin()
            sender = Sender(context, exchange, self._rules)
            with self._load.admit(method, identity.tenant_id):
                await invoke(_caller(identity, method, reader.first), method, reader, sender)

    async def pace(self, error: SessionHistoryError) -> None:
        """Wait until the error of a call that has ended may be answered."""
        await self._load.pace(error)

    def _reader(
        self, method: Method, exchange: Exchange, context: Context, credential: StreamCredential
    ) -> Reader[Message]:
        return Reader(context, exchange, partial(parse, method.request_type), self._rules, credential)


def _caller(identity: Identity, method: Method, request: Message | None) -> Caller:
    """Make the caller of a call.

    Raises:
        PermissionDeniedError: the request names another user than the caller is bound to.
    """
    return Caller(
        tenant_id=identity.tenant_id,
        application_id=identity.application_id,
        user_id=identity.user_id if request is None else acting_user(method, request, identity.user_id),
        scopes=identity.scopes,
        log_id=call_context.current().request_id,
        must_name_user=identity.must_name_user,
        credential_id=identity.credential_id,
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
