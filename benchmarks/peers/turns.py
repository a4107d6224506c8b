"""Turns of conversations: store a user's message, read a window of 20, store the model's answer."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Begin = Callable[[int], Awaitable["Conversation"]]

CONVERSATIONS: Final = 16
WINDOW: Final = 20

USER_TEXT: Final = "What would you do on a rainy day in Rome? ".ljust(240, ".")
ASSISTANT_TEXT: Final = "I would look at the ceiling of the Sistine Chapel. ".ljust(240, ".")
_NEWEST: Final = [ASSISTANT_TEXT, USER_TEXT] * (WINDOW // 2)


class Conversation(Protocol):
    """A conversation that a peer stores: append a message, read the history."""

    async def turn(self) -> list[str]:
        """Store ``USER_TEXT``, read the window, store ``ASSISTANT_TEXT``; return the window's texts."""


class _Series:
    """A series of conversations, one at a time: after ``turns`` turns, the next one begins."""

    def __init__(self, begin: Begin, number: int, turns: int) -> None:
        self._begin = begin
        self._number = number
        self._turns = turns
        self._done = turns
        self._conversation: Conversation

    async def age(self) -> None:
        """Make some turns first, so that the current conversations differ in length as in a long run."""
        for _ in range(self._turns * self._number // CONVERSATIONS):
            await self.turn()

    async def turns_until(self, end: float) -> int:
        """Make turns until ``end``, a time of ``time.perf_counter``; return the number of turns."""
        turns = 0
        while time.perf_counter() < end:
            await self.turn()
            turns += 1
        return turns

    async def turn(self) -> None:
        if self._done == self._turns:
            self._conversation, self._done = await self._begin(self._number), 0
        length = min(WINDOW, 2 * self._done + 1)
        if await self._conversation.turn() != _NEWEST[-length:]:
            raise RuntimeError(f"the window is not that of the newest {length} messages")
        self._done += 1


async def serve(begin: Begin, turns: int) -> None:
    """Make turns for the number of seconds in each line of stdin; print turns and seconds as JSON.

    Prints a line when the program is ready. Ends with the end of stdin.

    Args:
        begin: Begins a conversation in one of 16 series, by number, after the previous one of the series has
            ended.
        turns: The number of turns of a conversation.
    """
    series = [_Series(begin, number, turns) for number in range(CONVERSATIONS)]
    await asyncio.gather(*(each.age() for each in series))
    print("ready", flush=True)  # noqa: T201 - the other process reads it
    while line := await asyncio.to_thread(sys.stdin.readline):
        start = time.perf_counter()
        end = start + float(line)
        done = sum(await asyncio.gather(*(each.turns_until(end) for each in series)))
        outcome = {"turns": done, "seconds": time.perf_counter() - start}
        print(json.dumps(outcome), flush=True)  # noqa: T201


def sqlalchemy_url(url: str) -> str:
    """Return a libpq URL in SQLAlchemy's form for asyncpg, with the folder of the socket in the query."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, port = host.rpartition(":")
    query = f"host={quote(unquote(name))}&port={port}"
    return f"postgresql+asyncpg://{user}@{parts.path}?{query}"
