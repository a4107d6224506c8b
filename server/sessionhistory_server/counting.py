"""Storing what is counted by the session's own token counter, which only the store knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from sessionhistory_server.store.append import OtherCounterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Counted(Protocol):
    """What is to be stored, with its messages counted."""

    @property
    def token_counter(self) -> str:
        """What counted them."""


C = TypeVar("C", bound=Counted)
T = TypeVar("T")


async def store_counted(
    asked: C, counter: str, count: Callable[[C, str], Awaitable[C]], store: Callable[[C], Awaitable[T]]
) -> T:
    """Store something counted by the session's own counter; return what the store does.

    Args:
        asked: What to store, as it was counted first.
        counter: The server's own, which the session has unless the store says that it has another.
        count: Counts it by the counter of a name; by the server's own if that is not available.
        store: Stores it, or raises ``OtherCounterError``.
    """
    while True:
        if counter != asked.token_counter:
            asked = await count(asked, counter)
        try:
            return await store(asked)
        except OtherCounterError as error:
            counter = error.counter
