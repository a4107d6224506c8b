"""Control the load of a worker: refuse calls early, limit rates, and let tenants take turns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server import call_context
from sessionhistory_server.errors import RefusedCallError, waited_too_long
from sessionhistory_server.rpc.load.arrivals import Arrivals
from sessionhistory_server.rpc.load.bound import Bound
from sessionhistory_server.rpc.load.pace import Pace
from sessionhistory_server.rpc.load.turns import Turns, Width

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.errors import SessionHistoryError
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.observability.counters import Metrics
    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.load.bound import Admission
    from sessionhistory_server.rpc.load.rate_limits import RateLimits
    from sessionhistory_server.rpc.peers.connection import PeerConnection

WIDTH: Final = Width(alone=64, shared=12, of_tenant=10)

KEY_WIDTH: Final = Width(alone=4, shared=4, of_tenant=2)
"""The places of calls that manage credentials: few, so that a flood of them delays no other calls."""

_VITAL_CALLS: Final = 256
"""The calls of health that may be in progress, and those of credentials."""
_NO_TENANT: Final = ""
"""The tenant for which calls of health and reflection count: their callers have none."""


class LoadControl:
    """The control of the load of a worker.

    Args:
        max_calls: The number of calls in progress above which calls are refused.
        max_streams: The same for streams that last.
        max_wait_seconds: The maximum wait for a turn.
        rates: The limits of calls a second; ``None``: there are none.
        metrics: Counts refused calls, and those that wait.
    """

    def __init__(
        self,
        *,
        max_calls: int,
        max_streams: int,
        max_wait_seconds: float,
        rates: RateLimits | None,
        metrics: Metrics,
    ) -> None:
        self._calls = Bound("calls", max_calls)
        self._streams = Bound("streams", max_streams)
        self._open_calls = Bound("calls", _VITAL_CALLS)
        self._key_calls = Bound("calls", _VITAL_CALLS)
        self._vital_streams = Bound("streams", max_streams)
        self._arrivals = Arrivals()
        self._turns = Turns(WIDTH, self._arrivals)
        self._key_turns = Turns(KEY_WIDTH, self._arrivals)
        self._max_wait_seconds = max_wait_seconds
        self._rates = rates
        self._metrics = metrics
        self._pace = Pace(self._arrivals)

    @property
    def calls(self) -> int:
        """The calls in progress, those made on streams of calls included, without streams and vital calls."""
        return self._calls.total

    @property
    def is_idle(self) -> bool:
        """Whether no call is in progress."""
        bounds = (self._calls, self._streams, self._open_calls, self._key_calls, self._vital_streams)
        is_busy = any(bound.total for bound in bounds)
        return self._turns.is_idle and self._key_turns.is_idle and not is_busy

    def refuse_early(self, method: Method, tenant_id: str) -> None:
        """Refuse a call before its request is read, if it would be refused afterwards. Nothing is counted.

        Raises:
            RefusedCallError: the worker has too many calls, or the tenant has made too many.
        """
        self._arrivals.note()
        if self._rates is not None and not method.is_vital:
            self._rates.check_tenant(tenant_id)
        bound, tenant_id = self._bound_of(method, tenant_id)
        bound.check(tenant_id)

    def note_arrivals(self, calls: int) -> None:
        """Note calls that have arrived on a stream. ``refuse_early`` notes those that are made alone."""
        self._arrivals.note(calls)

    def admit(self, method: Method, tenant_id: str) -> Admission:
        """Return the admission of a call whose request is read. It ends with its block.

        Calls whose requests are not complete count nothing here, because their peers may never finish them.
        ``rpc.peers`` bounds their memory.

        Raises:
            RefusedCallError: the worker has too many calls.
        """
        bound, tenant_id = self._bound_of(method, tenant_id)
        bound.check(tenant_id)
        return bound.enter(tenant_id)

    async def run(
        self,
        method: Method,
        caller: Caller,
        connection: PeerConnection,
        work: Callable[..., Awaitable[None]],
        *arguments: Any,  # noqa: ANN401 - those of the work
    ) -> None:
        """Admit and count a call, and run its work when it may execute.

        Raises:
            RefusedCallError: the worker has too many calls, the tenant or the user has made too many, or the
                wait is too long.
        """
        with self.admit(method, caller.tenant_id):
            if method.terms.is_open:
                await work(*arguments)
                return
            if self._rates is not None and not method.is_vital:
                self._rates.count(caller.tenant_id, caller.user_id)
            turns = self._key_turns if method.is_vital else self._turns
            await self._run_in_turn(turns, caller, connection, work, *arguments)

    async def pace(self, error: SessionHistoryError) -> None:
        """Count a refusal, and wait until it may be answered. Another error is answered at once.

        Call it after the call has ended, because a refusal that waits must hold no place and no request.
        """
        if isinstance(error, RefusedCallError):
            self._metrics.count_refused_call(error.reason)
            await self._pace.keep()

    async def _run_in_turn(
        self,
        turns: Turns,
        caller: Caller,
        connection: PeerConnection,
        work: Callable[..., Awaitable[None]],
        *arguments: Any,  # noqa: ANN401 - those of the work
    ) -> None:
        now = asyncio.get_running_loop().time()
        turn = turns.take(caller.tenant_id, caller.user_id or connection, now)
        try:
            if turn.granted is not None:
                await self._wait(turn.granted)
            call_context.current().end_turn = turn.end
            await work(*arguments)
        finally:
            turn.end()

    async def _wait(self, granted: asyncio.Future[None]) -> None:
        with self._metrics.waiting_call():
            try:
                async with asyncio.timeout(self._max_wait_seconds):
                    await granted
            except TimeoutError as error:
                raise waited_too_long(self._max_wait_seconds) from error

    def _bound_of(self, method: Method, tenant_id: str) -> tuple[Bound, str]:
        """Return the bound of a call, and the tenant for which it counts there."""
        if method.is_vital and method.terms.lasts:
            return self._vital_streams, _NO_TENANT
        if method.is_vital:
            return (self._open_calls, _NO_TENANT) if method.terms.is_open else (self._key_calls, tenant_id)
        return self._streams if method.streams_requests else self._calls, tenant_id
