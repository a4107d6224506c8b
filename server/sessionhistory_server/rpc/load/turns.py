"""Bound the calls that execute at a time, and let tenants take turns when calls must wait.

The event loop and the database serve calls in the order of their arrival. So few calls may be there. The
others wait here, in a queue for each tenant and within it for each user or connection. The queues take turns.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from contextvars import Context
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.fair_queue import FairQueue

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sessionhistory_server.rpc.load.arrivals import Arrivals

PRESENT_SECONDS: Final = 10.0
"""For this long after its last call a tenant counts as present."""

SLOW_SECONDS: Final = 0.05
"""A call that executes for longer waits for a lock or for the database. It leaves its place to another."""

MAX_SLOW: Final = 64
"""The calls of a tenant that execute beside the places, because they are slow."""


class Width(NamedTuple):
    """The number of places, each for a call that executes."""

    alone: int
    """While one tenant is present: enough for shared statements to be full."""
    shared: int
    """While several tenants are present: a call of one waits for about so many calls of the others."""
    of_tenant: int
    """Of one tenant, while several are present: the others find a free place."""


class _State(Enum):
    WAITS = auto()
    EXECUTES = auto()
    IS_SLOW = auto()
    HAS_ENDED = auto()


class Turn:
    """The turn of one call: it waits, executes and ends."""

    __slots__ = ("_turns", "began", "flow", "granted", "state", "tenant")

    def __init__(self, turns: Turns, tenant: _Tenant, flow: Hashable) -> None:
        self._turns = turns
        self.tenant: Final = tenant
        self.flow: Final = flow
        self.state = _State.WAITS
        self.granted: asyncio.Future[None] | None = None
        """Done when the call may execute; ``None``: it need not wait."""
        self.began = math.nan
        """When the call began to execute, by the clock of the event loop."""

    def end(self) -> None:
        """Give up the place in the queue, or the place to execute; if that is done already, do nothing."""
        self._turns.end(self)


class _Tenant:
    """The calls of a tenant. It exists while there are any."""

    __slots__ = ("calls", "executing", "name", "slow", "waiting")

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.calls = 0
        self.executing = 0
        self.slow = 0
        self.waiting: FairQueue[Turn] = FairQueue()
        """The waiting calls by user or connection."""


class Turns:
    """The executing calls of a worker, and the queues of the calls that wait.

    The queues have no bound of their own, because the calls of a worker have one.
    """

    def __init__(self, width: Width, arrivals: Arrivals) -> None:
        self._width = width
        self._arrivals = arrivals
        self._tenants: dict[str, _Tenant] = {}
        self._waiting: OrderedDict[_Tenant, None] = OrderedDict()
        """The tenants with waiting calls. The first one is served next."""
        self._executing: OrderedDict[Turn, None] = OrderedDict()
        """The calls with a place. The first one has begun first."""
        self._latest: str | None = None
        self._shared_until = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no call waits or executes."""
        return not (self._tenants or self._waiting or self._executing)

    def take(self, tenant_id: str, flow: Hashable, now: float) -> Turn:
        """Return the turn of a call, which may have to wait. End it in any case.

        Args:
            tenant_id: The tenant of the call.
            flow: Its user or its connection.
            now: The time, by the clock of the event loop.
        """
        self._note(tenant_id, now)
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            tenant = self._tenants[tenant_id] = _Tenant(tenant_id)
        tenant.calls += 1
        turn = Turn(self, tenant, flow)
        if not tenant.waiting and self._has_place(tenant, now):
            self._begin(turn, now)
        else:
            self._queue(turn)
        return turn

    def end(self, turn: Turn) -> None:
        """End a turn; if it has ended already, do nothing."""
        state, turn.state = turn.state, _State.HAS_ENDED
        tenant = turn.tenant
        if state is _State.HAS_ENDED:
            return
        if state is _State.EXECUTES:
            self._leave_place(turn)
        elif state is _State.IS_SLOW:
            tenant.slow -= 1
        else:
            tenant.waiting.remove(turn.flow, turn)
            if not tenant.waiting:
                del self._waiting[tenant]
        tenant.calls -= 1
        if not tenant.calls:
            del self._tenants[tenant.name]
        if self._waiting:
            self._serve_soon()

    def _serve_soon(self) -> None:
        """Let waiting calls execute once all that have arrived are received: the next turn may be theirs."""
        if self._server is None:
            self._server = asyncio.create_task(self._serve_when_quiet(), context=Context())

    async def _serve_when_quiet(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._next(clock()) is not None:
                await self._arrivals.cease()
                self._serve(clock())
        finally:
            self._server = None

    def _note(self, tenant_id: str, now: float) -> None:
        """Note that a tenant is present. Each call of another tenant than the last one shows that two are."""
        if tenant_id != self._latest:
            if self._latest is not None:
                self._shared_until = now + PRESENT_SECONDS
            self._latest = tenant_id

    def _has_place(self, tenant: _Tenant, now: float) -> bool:
        executing = len(self._executing)
        if now >= self._shared_until:
            return executing < self._width.alone
        return executing < self._width.shared and tenant.executing < self._width.of_tenant

    def _begin(self, turn: Turn, now: float) -> None:
        turn.state = _State.EXECUTES
        turn.began = now
        turn.tenant.executing += 1
        self._executing[turn] = None

    def _leave_place(self, turn: Turn) -> None:
        del self._executing[turn]
        turn.tenant.executing -= 1

    def _queue(self, turn: Turn) -> None:
        loop = asyncio.get_running_loop()
        turn.granted = loop.create_future()
        turn.tenant.waiting.add(turn.flow, turn)
        self._waiting.setdefault(turn.tenant)
        if self._timer is None:
            self._timer = loop.call_later(SLOW_SECONDS, self._relieve)

    def _next(self, now: float) -> _Tenant | None:
        """Return the tenant whose call is to execute next; ``None``: none waits, or there is no place."""
        return next((tenant for tenant in self._waiting if self._has_place(tenant, now)), None)

    def _serve(self, now: float) -> None:
        """Let waiting calls execute while there are places. The tenants take turns."""
        while tenant := self._next(now):
            turn = tenant.waiting.take()
            if tenant.waiting:
                self._waiting.move_to_end(tenant)
            else:
                del self._waiting[tenant]
            self._begin(turn, now)
            if turn.granted is not None and not turn.granted.done():  # its caller may just have gone
                turn.granted.set_result(None)

    def _relieve(self) -> None:
        """Let slow calls execute beside the places, while calls wait."""
        self._timer = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        before = loop.time() - SLOW_SECONDS
        for turn in list(self._executing):
            if turn.began > before:
                break
            if turn.tenant.slow < MAX_SLOW:
                self._leave_place(turn)
                turn.state = _State.IS_SLOW
                turn.tenant.slow += 1
        self._serve_soon()
        self._timer = loop.call_later(SLOW_SECONDS / 2, self._relieve)
