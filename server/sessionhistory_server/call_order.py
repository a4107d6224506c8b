"""The order of calls that are in progress together: the appends of a stream to one session."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class _State(Enum):
    COMES = auto()
    SHARES = auto()
    IS_ALONE = auto()
    HAS_ENDED = auto()


class OrderedCall:
    """A call that stores after the calls before it in its order.

    It may share statements with them. Once it is alone, it stores when all calls before it have ended, and no
    call behind it stores until it has ended.

    Args:
        before: The call before it. No other call has the same one before it. ``None``: there is none.
    """

    __slots__ = ("before", "changed", "state")

    def __init__(self, before: OrderedCall | None) -> None:
        self.before = before
        self.state = _State.COMES
        self.changed: asyncio.Future[None] | None = None
        """Done when the state changes; ``None``: no call waits for that."""

    @property
    def may_share(self) -> bool:
        """Whether the call may be sent now: in a statement with the calls before it, or in a later one."""
        if self.state is _State.IS_ALONE:
            return False
        before = self._nearest()
        return before is None or before.state is _State.SHARES

    @property
    def is_first(self) -> bool:
        """Whether all calls before this one have ended."""
        return self._nearest() is None

    def share(self) -> None:
        """Let the next call be sent, too, because this one is sent now."""
        self._change(_State.SHARES)

    def leave(self) -> None:
        """Let the next call wait until this one has ended."""
        self._change(_State.IS_ALONE)

    def end(self) -> None:
        """End the call; if it has ended already, do nothing."""
        self._nearest()  # forgets the calls that have ended
        self._change(_State.HAS_ENDED)

    async def until_sharable(self) -> None:
        """Wait until the call may share a statement, or is alone."""
        await self._until(lambda: self.may_share or self.state is _State.IS_ALONE)

    async def until_first(self) -> None:
        """Wait until all calls before this one have ended."""
        await self._until(lambda: self.is_first)

    def _nearest(self) -> OrderedCall | None:
        """Return the nearest call before this one that has not ended."""
        before = self.before
        while before is not None and before.state is _State.HAS_ENDED:
            before = before.before
        self.before = before
        return before

    def _change(self, state: _State) -> None:
        if self.state is not _State.HAS_ENDED:  # the statement of a call may run on after the call
            self.state = state
        if self.changed is not None and not self.changed.done():  # the call that waits may have gone
            self.changed.set_result(None)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds() and (before := self._nearest()) is not None:
            before.changed = asyncio.get_running_loop().create_future()
            await before.changed
