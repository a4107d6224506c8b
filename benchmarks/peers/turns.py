"""Turns of conversations: the user's message, the window of 20 for the model, the model's answer."""

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
    """A conversation under way."""

    async def turn(self) -> list[str]:
        """Store ``USER_TEXT``, read the window, store ``ASSISTANT_TEXT``; return the window's texts."""


class _Place:
    """One of the conversations that are held at once; after so many turns it is followed by a new one."""

    def __init__(self, begin: Begin, number: int, turns: int) -> None:
        self._begin = begin
        self._number = number
        self._turns = turns
        self._done = turns
        self._conversation: Conversation

    async def age(self) -> None:
        """Have the places differ in age, as if this had been going on for long."""
        for _ in range(self._turns * self._number // CONVERSATIONS):
            await self.turn()

    async def turns_until(self, end: float) -> int:
        """Converse until a time of ``time.perf_counter``; return the number of turns."""
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
    """For each line of stdin, a number of seconds, converse that long; print turns and seconds as JSON.

    Prints a line when it is ready. Ends with stdin.

    Args:
        begin: Begins a conversation in one of 16 places, by number; the one before it there is over.
        turns: How many turns a conversation has.
    """
    places = [_Place(begin, number, turns) for number in range(CONVERSATIONS)]
    await asyncio.gather(*(place.age() for place in places))
    print("ready", flush=True)  # noqa: T201 - the other process reads it
    while line := await asyncio.to_thread(sys.stdin.readline):
        start = time.perf_counter()
        end = start + float(line)
        done = sum(await asyncio.gather(*(place.turns_until(end) for place in places)))
        outcome = {"turns": done, "seconds": time.perf_counter() - start}
        print(json.dumps(outcome), flush=True)  # noqa: T201


def sqlalchemy_url(url: str) -> str:
    """Return a libpq URL as SQLAlchemy takes it for asyncpg, whose sockets' folders are in the query."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, port = host.rpartition(":")
    query = f"host={quote(unquote(name))}&port={port}"
    return f"postgresql+asyncpg://{user}@{parts.path}?{query}"
