"""Turns of conversations: store a user's message, read a window of 20, store the model's answer.

A driver asks for turns by a line of JSON on stdin, and gets a line of JSON on stdout.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

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

    async def timed_turn(self, begin: float) -> float:
        """Make a turn; return the seconds since ``begin``, a time of ``time.perf_counter``."""
        await self.turn()
        return time.perf_counter() - begin

    async def turns_until(self, end: float) -> list[float]:
        """Make turns until ``end``, a time of ``time.perf_counter``; return their latencies in seconds."""
        latencies = []
        while (begin := time.perf_counter()) < end:
            latencies.append(await self.timed_turn(begin))
        return latencies

    async def turn(self) -> None:
        if self._done == self._turns:
            self._conversation, self._done = await self._begin(self._number), 0
        length = min(WINDOW, 2 * self._done + 1)
        if await self._conversation.turn() != _NEWEST[-length:]:
            raise RuntimeError(f"the window is not that of the newest {length} messages")
        self._done += 1


async def serve(begin: Begin, turns: int) -> None:
    """Make turns for each line of stdin, until stdin ends. Print a line when the program is ready.

    A line is ``{"seconds": 1.5, "conversations": 16, "per_second": null}``. The conversations make turns
    without a pause. With ``per_second``, so many turns begin each second, at random times. The answer has the
    ``latencies`` of the turns, the ``seconds`` that passed, and the ``cpu_seconds`` of this process.

    Args:
        begin: Begins a conversation in one of 16 series, by number, after the previous one of the series has
            ended.
        turns: The number of turns of a conversation.
    """
    series = [_Series(begin, number, turns) for number in range(CONVERSATIONS)]
    await asyncio.gather(*(each.age() for each in series))
    print("ready", flush=True)  # noqa: T201 - the other process reads it
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        chosen, per_second = series[: asked["conversations"]], asked["per_second"]
        cpu, start = time.process_time(), time.perf_counter()
        end = start + asked["seconds"]
        made = _open_loop(chosen, end, per_second) if per_second else _closed_loop(chosen, end)
        outcome = {
            "latencies": await made,
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
        }
        print(json.dumps(outcome), flush=True)  # noqa: T201


async def _closed_loop(series: Sequence[_Series], end: float) -> list[float]:
    return [
        latency
        for made in await asyncio.gather(*(each.turns_until(end) for each in series))
        for latency in made
    ]


async def _open_loop(series: Sequence[_Series], end: float, per_second: float) -> list[float]:
    """Begin turns at random times, the same in each call. A turn waits only if no conversation is free."""
    free: asyncio.Queue[_Series] = asyncio.Queue()
    for each in series:
        free.put_nowait(each)
    gaps, at, turns = random.Random(0), time.perf_counter(), []  # noqa: S311 - no secret
    while (at := at + gaps.expovariate(per_second)) < end:
        await asyncio.sleep(at - time.perf_counter())  # the next arrival, whether or not turns are answered
        turns.append(asyncio.create_task(_turn_of_a_free_one(free, at)))
    return await asyncio.gather(*turns)


async def _turn_of_a_free_one(free: asyncio.Queue[_Series], begin: float) -> float:
    series = await free.get()
    latency = await series.timed_turn(begin)
    free.put_nowait(series)
    return latency


def sqlalchemy_url(url: str) -> str:
    """Return a libpq URL in SQLAlchemy's form for asyncpg, with the folder of the socket in the query."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, port = host.rpartition(":")
    query = f"host={quote(unquote(name))}&port={port}"
    return f"postgresql+asyncpg://{user}@{parts.path}?{query}"
