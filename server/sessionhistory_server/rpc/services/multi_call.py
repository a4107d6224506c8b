"""MultiCall: several calls in one request. Each behaves as if it were made alone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import call_context
from sessionhistory_server.limits import KIB, MAX_CALLS
from sessionhistory_server.rpc import status
from sessionhistory_server.rpc.binding import acting_user
from sessionhistory_server.rpc.dispatch import SERVICE, method_of, rpc
from sessionhistory_server.rpc.invoke import invoke, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.rpc.accounting import Accounting
    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.load.control import LoadControl
    from sessionhistory_server.rpc.services.messages import MessagesServicer
    from sessionhistory_server.rpc.services.windows import WindowsServicer
    from sessionhistory_server.rpc.streaming.sender import Sender
    from sessionhistory_server.rpc.validation.checks import Checks

# Far below the limits of clients and proxies.
_MAX_JOINED_BYTES: Final = 512 * KIB


def _check_calls(checks: Checks, request: pb.MultiCallRequest) -> None:
    if checks.length("calls", request.calls, MAX_CALLS, minimum=1):
        for index, entry in enumerate(request.calls):
            rule = "must set one of append_message, get_history"
            checks.require(entry.WhichOneof("call"), f"calls[{index}]", rule)


class MultiCallServicer:
    """The servicer of MultiCall, for the methods that callers use most."""

    def __init__(
        self,
        messages: MessagesServicer,
        windows: WindowsServicer,
        accounting: Accounting,
        load: LoadControl,
    ) -> None:
        self._load = load
        methods = SERVICE.methods_by_name
        self._methods: Final = {
            "append_message": method_of(methods["AppendMessage"], messages, accounting),
            "get_history": method_of(methods["GetHistory"], windows, accounting),
        }

    @rpc(None, _check_calls)  # each entry needs the scope of its method
    async def MultiCall(self, caller: Caller, request: pb.MultiCallRequest, sender: Sender) -> None:
        """Make the calls, and send each outcome as soon as its call has ended."""
        outcomes = _Outcomes()
        calls = [
            asyncio.create_task(self._make(caller, index, entry, outcomes, sender))
            for index, entry in enumerate(request.calls)
        ]
        for call in calls:
            call.add_done_callback(outcomes.wake)
        try:
            done = False
            while not done:
                await outcomes.changed()
                done = all(call.done() for call in calls)
                for response in _responses(outcomes.take()):
                    await sender.send_prepared(response)
        finally:
            for call in calls:
                call.cancel()

    async def _make(
        self, caller: Caller, index: int, entry: pb.MultiCallEntry, outcomes: _Outcomes, sender: Sender
    ) -> None:
        kind = str(entry.WhichOneof("call"))
        method, request = self._methods[kind], getattr(entry, kind)
        call_context.begin(call_context.current().part(method.name))
        reserved = await sender.reserve()
        began = time.monotonic()
        # Each entry has its own response. Serialized responses can be joined: the result is one valid
        # response.
        response = pb.MultiCallResponse()
        outcome = response.outcomes.add(index=index)
        filled = getattr(outcome, kind)
        filled.SetInParent()
        call = self._invoked(caller, method, request, filled, sender)
        error = await recorded(method, began, call, sender.context)
        if error is not None:
            await self._load.pace(error)
            outcome.error = status.details_of(error, caller.log_id)
        serialized = response.SerializeToString()
        sender.prepared(len(serialized), reserved)
        outcomes.add(serialized)

    async def _invoked(
        self, caller: Caller, method: Method, request: object, response: object, sender: Sender
    ) -> None:
        """Make a call for its own user. The caller of MultiCall has a user only if it is bound to one."""
        caller = caller._replace(user_id=acting_user(method, request, caller.user_id))
        connection = sender.connection
        steps = (connection.run_with_budget, invoke) if method.terms.is_large else (invoke,)
        await self._load.run(method, caller, connection, *steps, caller, method, request, response)


class _Outcomes:
    """A queue of serialized responses, each with one outcome."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._changed = asyncio.Event()

    def add(self, response: bytes) -> None:
        self._waiting.append(response)

    def wake(self, _: object) -> None:
        self._changed.set()

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def take(self) -> list[bytes]:
        taken, self._waiting = self._waiting, []
        return taken


def _responses(single: Sequence[bytes]) -> Iterator[bytes]:
    """Join small responses into larger ones."""
    joined: list[bytes] = []
    size = 0
    for response in single:
        if joined and size + len(response) > _MAX_JOINED_BYTES:
            yield b"".join(joined)
            joined, size = [], 0
        joined.append(response)
        size += len(response)
    if joined:
        yield b"".join(joined)
