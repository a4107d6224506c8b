"""Calls in an order, as a stream begins them: each in a task, and the next one without a wait for its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.call_order import OrderedCall
from sessionhistory_server.errors import SessionHistoryError
from support.callers import caller

if TYPE_CHECKING:
    from store_support import UseCases

    from sessionhistory_server.model.append import Append, AppendOutcome


class OrderedAppends:
    """The appends of one stream to one session."""

    def __init__(self, history: UseCases) -> None:
        self._history = history
        self._last: OrderedCall | None = None
        self.calls: list[asyncio.Task[AppendOutcome]] = []

    def begin(self, *appends: Append) -> None:
        """Begin appends, in this order."""
        for asked in appends:
            self._last = OrderedCall(self._last)
            self.calls.append(asyncio.create_task(self._make(self._last, asked)))

    async def _make(self, order: OrderedCall, asked: Append) -> AppendOutcome:
        context = CallContext("", "AppendMessage")
        context.order = order
        call_context.begin(context)
        try:
            return await self._history.messages.append(caller(), asked)
        finally:
            order.end()

    async def results(self) -> list[int | str]:
        """Wait for all calls; return the sequence of each message, or the reason of each error."""
        outcomes = await asyncio.gather(*self.calls, return_exceptions=True)
        return [_result(outcome) for outcome in outcomes]


def _result(outcome: AppendOutcome | BaseException) -> int | str:
    if isinstance(outcome, SessionHistoryError):
        return outcome.reason
    if isinstance(outcome, BaseException):
        return type(outcome).__name__
    return outcome.appended.messages[0].sequence
