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
# As long as nine of ten recorded ones: some 40 messages. Then it is followed by a new one.
TURNS: Final = 20

USER_TEXT: Final = "What would you do on a rainy day in Rome? ".ljust(240, ".")
ASSISTANT_TEXT: Final = "I would look at the ceiling of the Sistine Chapel. ".ljust(240, ".")


class Conversation(Protocol):
    """A conversation under way."""

    async def turn(self) -> int:
        """Store ``USER_TEXT``, read the window, store ``ASSISTANT_TEXT``; return the window's length."""


def sqlalchemy_url(url: str) -> str:
    """Return a libpq URL as SQLAlchemy takes it for asyncpg, whose sockets' folders are in the query."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, port = host.rpartition(":")
    query = f"host={quote(unquote(name))}&port={port}"
    return f"postgresql+asyncpg://{user}@{parts.path}?{query}"


async def serve(begin: Begin) -> None:
    """For each line of stdin, a number of seconds, converse that long; print turns and seconds as JSON.

    Prints a line when it is ready. Ends with stdin.

    Args:
        begin: Begins a new conversation in one of 16 places, by number; the one before it there is over.
    """
    print("ready", flush=True)  # noqa: T201 - the other process reads it
    while line := await asyncio.to_thread(sys.stdin.readline):
        start = time.perf_counter()
        end = start + float(line)
        counts = await asyncio.gather(*(_converse(begin, place, end) for place in range(CONVERSATIONS)))
        outcome = {"turns": sum(counts), "seconds": time.perf_counter() - start}
        print(json.dumps(outcome), flush=True)  # noqa: T201


async def _converse(begin: Begin, place: int, end: float) -> int:
    turns = 0
    while time.perf_counter() < end:
        conversation = await begin(place)
        for turn in range(TURNS):
            length, expected = await conversation.turn(), min(WINDOW, 2 * turn + 1)
            if length != expected:
                raise RuntimeError(f"the window has {length} messages and not {expected}")
            turns += 1
            if time.perf_counter() >= end:
                break
    return turns
