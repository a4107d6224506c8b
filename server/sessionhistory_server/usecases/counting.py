"""Count the tokens of messages before they are stored.

First each message is counted by its characters, which takes little time, and suffices for most servers. Only
the store knows the counter of a session. If the session has another counter, the store refuses the messages,
and they are counted again by that counter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from sessionhistory_server import tokens
from sessionhistory_server.model.message import NewMessage
from sessionhistory_server.model.tokens import OtherCounterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from sessionhistory_server.model.message import MessageContent, SentMessage
    from sessionhistory_server.tokens import TokenCounters


class Countable(Protocol):
    """Messages to store, with their token counts."""

    @property
    def token_counter(self) -> str:
        """The name of the counter that counted the messages."""

    @property
    def contents(self) -> Sequence[MessageContent]:
        """The contents of the messages, in order."""

    def counted(self, counts: Iterable[int], token_counter: str, /) -> Self:
        """Return the messages with other token counts."""


C = TypeVar("C", bound=Countable)
T = TypeVar("T")


def count_characters(sent: SentMessage) -> NewMessage:
    """Return a message with a token count: the caller's, or else an estimate by characters."""
    content, size_bytes = sent
    return NewMessage(content, tokens.given_or_counted(content), size_bytes)


class Counting:
    """A step before the store: it counts messages by the counter of their session."""

    def __init__(self, counters: TokenCounters) -> None:
        self._counters = counters

    async def store_counted(self, new: C, store: Callable[[C], Awaitable[T]]) -> T:
        """Count messages by the counter of their session, store them, and return the result of ``store``.

        Args:
            new: The messages, counted by their characters.
            store: Stores the messages, or raises ``OtherCounterError``.
        """
        counter = self._counters.name
        while True:
            if counter != new.token_counter:
                new = new.counted(*await self._counters.count(new.contents, counter))
            try:
                return await store(new)
            except OtherCounterError as error:
                counter = error.counter
