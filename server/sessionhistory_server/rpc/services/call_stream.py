"""CallStream: many calls over one stream that stays open. Each behaves as if it were made alone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from google.rpc.status_pb2 import Status

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.binding import acting_user
from sessionhistory_server.rpc.dispatch import SERVICE, method_of, rpc
from sessionhistory_server.rpc.invoke import invoke, recorded

if TYPE_CHECKING:
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.rpc.accounting import Accounting
    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.load.control import LoadControl
    from sessionhistory_server.rpc.services.messages import MessagesServicer
    from sessionhistory_server.rpc.services.sessions import SessionsServicer
    from sessionhistory_server.rpc.services.windows import WindowsServicer
    from sessionhistory_server.rpc.streaming.reader import Reader
    from sessionhistory_server.rpc.streaming.sender import Sender


class CallStreamServicer:
    """The servicer of CallStream."""

    def __init__(
        self,
        messages: MessagesServicer,
        windows: WindowsServicer,
        sessions: SessionsServicer,
        accounting: Accounting,
        load: LoadControl,
    ) -> None:
        self._load = load
        methods = SERVICE.methods_by_name
        self._methods: Final = {
            "append_message": method_of(methods["AppendMessage"], messages, accounting),
            "append_messages": method_of(methods["AppendMessages"], messages, accounting),
            "get_history": method_of(methods["GetHistory"], windows, accounting),
            "list_messages": method_of(methods["ListMessages"], messages, accounting),
            "get_message": method_of(methods["GetMessage"], messages, accounting),
            "get_session": method_of(methods["GetSession"], sessions, accounting),
            "update_state": method_of(methods["UpdateState"], sessions, accounting),
        }

    @rpc(None, lasts=True)  # each call needs the scope of its method
    async def CallStream(self, caller: Caller, reader: Reader[pb.CallStreamRequest], sender: Sender) -> None:
        """Make the calls as they arrive, and send the outcomes that are ready together."""
        calls: set[asyncio.Task[None]] = set()
        ready: list[bytes] = []
        changed = asyncio.Event()
        writing = asyncio.create_task(_write(ready, changed, sender))
        await reader.accept()
        await sender.send(b"")
        try:
            request = reader.first
            while request is not None:
                for call in request.calls:
                    task = asyncio.create_task(self._make(caller, call, ready, changed, sender))
                    calls.add(task)
                    task.add_done_callback(calls.discard)
                request = await reader.read()
            if calls:
                await asyncio.wait(calls)
            while ready:
                await asyncio.sleep(0.001)
        finally:
            for task in calls:
                task.cancel()
            writing.cancel()

    async def _make(
        self,
        caller: Caller,
        call: pb.StreamedCall,
        ready: list[bytes],
        changed: asyncio.Event,
        sender: Sender,
    ) -> None:
        kind = str(call.WhichOneof("request"))
        method, request = self._methods[kind], getattr(call, kind)
        context = CallContext(call.request_id or f"{caller.log_id}/{call.number}", method.name)
        context.subject = call_context.current().subject
        call_context.begin(context)
        began = time.monotonic()
        response = pb.CallStreamResponse()
        outcome = response.outcomes.add(number=call.number)
        filled = getattr(outcome, kind)
        filled.SetInParent()
        work = self._invoked(caller, method, request, filled, sender)
        error = await recorded(method, began, work, sender.context)
        if error is not None:
            await self._load.pace(error)
            told = Status.FromString(status.details_of(error, context.request_id))
            outcome.error.ParseFromString(told.SerializeToString())
        ready.append(response.SerializeToString())
        changed.set()

    async def _invoked(
        self, caller: Caller, method: Method, request: object, response: object, sender: Sender
    ) -> None:
        caller = caller._replace(user_id=acting_user(method, request, caller.user_id))
        connection = sender.connection
        await self._load.run(method, caller, connection, invoke, caller, method, request, response)


async def _write(ready: list[bytes], changed: asyncio.Event, sender: Sender) -> None:
    while True:
        await changed.wait()
        changed.clear()
        outcomes = b"".join(ready)
        ready.clear()
        await sender.send(outcomes)
