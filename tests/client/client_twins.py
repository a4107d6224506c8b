"""Both clients behind the asyncio client's methods, so that each test is written once."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from sessionhistory import AsyncSessionHistoryClient, MessageStream, SessionHistoryClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Threaded:
    """The client for threads with methods to await: each call runs in a thread."""

    def __init__(self, target: str, **options: Any) -> None:
        self._client = SessionHistoryClient(target, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of the client."""
        method = getattr(self._client, name)
        if name == "append_message_stream":
            return lambda *arguments, **named: _ThreadedStream(method(*arguments, **named))
        return partial(_yield_all if inspect.isgeneratorfunction(method) else _run, method)


class _ThreadedStream:
    """A stream of the client for threads as an async context manager."""

    def __init__(self, stream: MessageStream) -> None:
        self._stream = stream

    async def __aenter__(self) -> Self:
        await _run(self._stream.__enter__)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await _run(self._stream.__exit__, *failure)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._stream, name)
        return partial(_run, value) if callable(value) else value


async def _run(method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREADS, partial(method, *arguments, **named))


async def _yield_all(method: Callable[..., Any], *arguments: Any, **named: Any) -> AsyncIterator[Any]:
    for item in await _run(lambda: list(method(*arguments, **named))):
        yield item


TWINS: dict[str, Any] = {"asyncio": AsyncSessionHistoryClient, "threads": Threaded}

# As many threads as any test needs at once; asyncio's own executor has as few as the machine has cores.
_THREADS = ThreadPoolExecutor(16)
