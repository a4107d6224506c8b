"""A stream of calls: it reads calls, makes them, and sends their outcomes, until it ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.errors import (
    DeadlineExceededError,
    FieldViolation,
    InvalidArgumentError,
    SessionHistoryError,
    UnauthenticatedError,
    method_unknown,
    stream_ending,
)
from sessionhistory_server.limits import MAX_STREAM_CALLS
from sessionhistory_server.model.caller import READ, Caller
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.binding import acting_user
from sessionhistory_server.rpc.invoke import invoke, recorded
from sessionhistory_server.rpc.request_ids import is_request_id
from sessionhistory_server.rpc.streaming.calls import Received, StreamCalls, StreamedCall
from sessionhistory_server.rpc.streaming.lifetime import GRACE_SECONDS, Lifetime
from sessionhistory_server.rpc.streaming.outcomes import Outcomes
from sessionhistory_server.rpc.streaming.session_order import READS, appends_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.load.control import LoadControl
    from sessionhistory_server.rpc.streaming.reader import Reader
    from sessionhistory_server.rpc.streaming.sender import Sender

_ACCEPTED: Final = b""
"""The first response, which is empty. Before it a caller cannot know whether a proxy delays the stream."""


class CallStream:
    """One stream of calls.

    Args:
        caller: The caller of the stream. It has a user only if it is bound to one.
        reader: Reads the messages of the stream, whose first one is read.
        sender: Sends the outcomes.
        methods: The methods by the fields of their requests.
        load: Admits each call, and lets it wait for its turn.
    """

    def __init__(
        self,
        caller: Caller,
        reader: Reader[pb.CallStreamRequest],
        sender: Sender,
        methods: Mapping[str, Method],
        load: LoadControl,
    ) -> None:
        self._caller = caller
        self._reader = reader
        self._sender = sender
        self._methods = methods
        self._load = load
        self._subject = call_context.current().subject
        unordered = reader.first is not None and reader.first.header.unordered
        self._calls = StreamCalls(self._make, unordered=unordered)
        self._outcomes = Outcomes(sender, self._calls.notify)
        self._lifetime = Lifetime(reader.rules, lambda: len(self._calls) > 0)

    async def serve(self) -> None:
        """Make the calls of the stream until it ends. All calls that were read are then answered.

        Raises:
            InvalidArgumentError: the caller has broken a rule of the stream.
            MalformedRequestError: a message is not valid, or too large.
            UnauthenticatedError: the caller's credential was revoked or has expired.
        """
        await self._reader.accept()
        self._outcomes.add(_ACCEPTED)
        reading = asyncio.create_task(self._read())
        sending = asyncio.create_task(self._outcomes.send())
        try:
            refusal = await self._until_answered(reading)
            self._outcomes.complete()
            await asyncio.shield(sending)
        finally:
            reading.cancel()
            self._calls.cancel()
            self._outcomes.drop()
            await asyncio.wait((sending,))  # gRPC sends no status while it still sends an answer
        if refusal is not None:
            raise refusal
        if not reading.cancelled():
            reading.result()

    async def _until_answered(self, reading: asyncio.Task[None]) -> UnauthenticatedError | None:
        """Wait until the stream has ended, and all its calls are answered.

        Return the error with which it ends if the caller's credential is refused.
        """
        refusal = None
        try:
            await self._reader.while_valid(self._until_made(reading))
        except UnauthenticatedError as error:
            refusal = error
            self._calls.refuse(error, waiting=True)
        reading.cancel()
        await self._until_none_left()
        return refusal

    async def _until_made(self, reading: asyncio.Task[None]) -> None:
        """Wait until the stream ends, and until the calls that were accepted before that are made."""
        reason = await self._lifetime.reason(reading)
        if reason is not None:
            ending = pb.CallStreamEnding(reason=reason)
            ending.grace.FromMilliseconds(round(GRACE_SECONDS * 1_000))
            self._outcomes.add(pb.CallStreamResponse(ending=ending).SerializeToString())
            with suppress(TimeoutError):
                await self._reader.rules.reads.wait(asyncio.wait((reading,)), GRACE_SECONDS)
            self._calls.refuse(stream_ending())
        try:
            await self._reader.rules.reads.wait(self._calls.until(self._calls.are_made), None)
        except TimeoutError:  # the server stops soon
            self._calls.refuse(stream_ending(), waiting=True)
            await self._calls.until(self._calls.are_made)

    async def _until_none_left(self) -> None:
        await self._calls.until(lambda: not len(self._calls))

    async def _read(self) -> None:
        first, self._reader.first = self._reader.first, None
        self._take(first)
        del first
        # No variable refers to a message while the next one is awaited: a message may be large.
        while self._take_later(await self._next()):
            pass

    async def _next(self) -> pb.CallStreamRequest | None:
        """Return the next message, once the stream has room for its calls."""
        await self._calls.until(lambda: self._calls.has_room(self._outcomes.waiting))
        return await self._reader.next()

    def _take_later(self, request: pb.CallStreamRequest | None) -> bool:
        if request is not None and request.HasField("header"):
            raise _broken("header", "must come once, in the first message")
        return self._take(request)

    def _take(self, request: pb.CallStreamRequest | None) -> bool:
        """Begin the calls of a message; return whether there is one."""
        if request is None:
            return False
        if len(request.calls) > MAX_STREAM_CALLS:
            raise _broken("calls", f"must have at most {MAX_STREAM_CALLS} elements")
        received = Received(self._reader.size, len(request.calls))
        self._calls.receive(received)
        self._lifetime.note(received.at)
        self._load.note_arrivals(received.calls)
        for index, call in enumerate(request.calls):
            if call.number in self._calls:
                raise _broken(f"calls[{index}].number", "must not be the number of a call in progress")
            self._begin(call, received)
        return True

    def _begin(self, sent: pb.StreamedCall, received: Received) -> None:
        kind = sent.WhichOneof("request")
        request_id = sent.request_id
        if not is_request_id(request_id):
            request_id = f"{self._caller.log_id}/{sent.number}"
        if kind is None:
            self._calls.release(received)
            self._outcomes.add(_failed(sent.number, method_unknown(), request_id))
            return
        method = self._methods[kind]
        context = CallContext(request_id, method.name)
        context.subject = self._subject
        call = StreamedCall(sent.number, kind, method, getattr(sent, kind), context, received)
        self._set_deadline(call, sent)
        _set_group(call)
        self._calls.add(call)

    def _set_deadline(self, call: StreamedCall, sent: pb.StreamedCall) -> None:
        seconds = self._reader.rules.default_deadline_seconds
        if sent.HasField("timeout"):
            seconds = sent.timeout.seconds + sent.timeout.nanos / 1e9
            if seconds <= 0:
                call.refusal = InvalidArgumentError(FieldViolation("timeout", "must be more than 0"))
        call.context.deadline = call.received.at + seconds

    async def _make(self, call: StreamedCall) -> None:
        """Make a call, and let its outcome be sent."""
        call.has_begun = True
        call_context.begin(call.context)
        try:
            outcome = await recorded(
                call.method, call.received.at, self._response(call), self._sender.context
            )
        finally:
            self._calls.ended(call)
        if isinstance(outcome, SessionHistoryError):
            await self._load.pace(outcome)
            outcome = _failed(call.number, outcome, call.context.request_id)
        self._outcomes.add(outcome, call.reserved)
        self._calls.answered(call)

    async def _response(self, call: StreamedCall) -> bytes:
        """Return the response to a call, serialized.

        Raises:
            SessionHistoryError: the call fails.
        """
        if call.refusal is not None:
            raise call.refusal
        # Each call has its own response, which can be joined with others.
        response = pb.CallStreamResponse()
        outcome = response.outcomes.add(number=call.number)
        filled = getattr(outcome, call.kind)
        filled.SetInParent()
        try:
            await self._invoked(call, filled)
        except asyncio.CancelledError:
            if not call.is_late:
                raise
            raise DeadlineExceededError from None
        return response.SerializeToString()

    async def _invoked(self, call: StreamedCall, response: object) -> None:
        stream, method = self._caller, call.method
        caller = Caller(
            stream.tenant_id,
            stream.application_id,
            acting_user(method, call.request, stream.user_id),
            stream.scopes,
            call.context.request_id,
            stream.must_name_user,
            stream.credential_id,
        )
        connection = self._sender.connection
        if not connection.has_small_answers:
            call.reserved = await self._sender.reserve()
        await self._load.run(method, caller, connection, self._execute, call, caller, response)

    async def _execute(self, call: StreamedCall, caller: Caller, response: object) -> None:
        """Make a call whose turn has come."""
        connection, method = self._sender.connection, call.method
        is_large = not connection.has_small_answers
        if is_large and not call.reserved:  # while it waited for its turn, answers have become large
            call.context.end_turn()
            call.reserved = await self._sender.reserve()
        if is_large and method.terms.is_large:
            await connection.run_with_budget(invoke, caller, method, call.request, response)
        else:
            await invoke(caller, method, call.request, response)


def _set_group(call: StreamedCall) -> None:
    """Set the group of calls that may be in progress together with a call."""
    if call.kind == "append_message":
        call.group = appends_of(call.request.user_id)
        call.ends_group = call.request.HasField("history")  # a window shows no message of a later call
    elif call.method.terms.scope == READ:
        call.group = READS


def _failed(number: int, error: SessionHistoryError, request_id: str) -> bytes:
    """Return the response with the error of a call, serialized."""
    response = pb.CallStreamResponse()
    status.fill_call_error(error, request_id, response.outcomes.add(number=number).error)
    return response.SerializeToString()


def _broken(field: str, description: str) -> InvalidArgumentError:
    """Return the error for a caller that has broken a rule of the stream."""
    return InvalidArgumentError(FieldViolation(field, description))
