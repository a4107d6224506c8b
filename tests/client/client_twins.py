"""Both clients, behind the methods of the one for asyncio: so that each test is written once."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from sessionhistory import AsyncSessionHistoryClient, SessionHistoryClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class Threaded:
    """The client for threads, whose methods are awaited: each call runs in a thread."""

    def __init__(self, target: str, **options: Any) -> None:  # noqa: ANN401 - those of the client
        self._client = SessionHistoryClient(target, **options)

    def __getattr__(self, name: str) -> Callable[..., AsyncIterator[Any] | Awaitable[Any]]:
        """Return a method of the client."""
        method = getattr(self._client, name)
        run = _all if inspect.isgeneratorfunction(method) else asyncio.to_thread
        return partial(run, method)


async def _all(method: Callable[..., Any], *arguments: Any, **named: Any) -> AsyncIterator[Any]:  # noqa: ANN401
    for item in await asyncio.to_thread(lambda: list(method(*arguments, **named))):
        yield item


TWINS: dict[str, Any] = {"asyncio": AsyncSessionHistoryClient, "threads": Threaded}
