"""Run concurrent writers, each of which retries its write until it is acknowledged."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio
from writers import CALL_SECONDS, Appender, Editor

from sessionhistory import AsyncSessionHistoryClient
from sessionhistory.errors import SessionHistoryError
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CUT_WHILE_SENDING = "Internal error from Core"
"""The text of gRPC's client, with INTERNAL, when the connection ends while it sends a piece of a stream."""

RETRIABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
PATIENCE_SECONDS = 45
_PAUSE_SECONDS = 0.05
# The test measures the service's recovery, not gRPC's backoff.
_CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
_QUIET_SECONDS = 0.01


class Load:
    """Writers of sessions of their own and of shared sessions, with the answers that each got."""

    def __init__(
        self,
        address: str,
        *,
        editors: int = 4,
        appenders: int = 4,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.randomness = random.Random()
        self.patience_seconds = patience_seconds
        self.channel = grpc.aio.insecure_channel(address, options=_CHANNEL)
        self.client = AsyncSessionHistoryClient(address, timeout_seconds=CALL_SECONDS)
        self.stub: Any = pb_grpc.SessionHistoryServiceStub(self.channel)
        self.editors = [Editor(self, f"own-{number}") for number in range(editors)]
        self.appenders = [Appender(self, number) for number in range(appenders)]
        self.failures: list[str] = []
        """Codes that no caller should see: neither retriable nor a fault of the caller."""
        self.retriable: list[str] = []
        """Codes of attempts that were retried."""
        self.slowest_seconds = 0.0
        self.stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged."""
        return sum(writer.acknowledged for writer in self.writers)

    @property
    def writers(self) -> list[Editor | Appender]:
        """All writers."""
        return [*self.editors, *self.appenders]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Write until the block ends; then let every writer finish its write."""
        self._tasks = [asyncio.create_task(writer.run()) for writer in self.writers]
        try:
            yield self
            self.stopping = True
            await asyncio.wait_for(asyncio.gather(*self._tasks), self.patience_seconds)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.client.close()
            await self.channel.close()

    async def recovery(self, *, patience_seconds: float | None = None) -> float:
        """Wait until every writer's write that began after this call is stored; return how long it took."""
        begin = time.monotonic()
        before = [writer.acknowledged for writer in self.writers]
        # The first acknowledged write may have begun before.
        while any(
            writer.acknowledged < count + 2 for writer, count in zip(self.writers, before, strict=True)
        ):
            for task in self._tasks:
                if task.done():
                    task.result()  # raises the error that has ended a writer
            waited = time.monotonic() - begin
            late = [
                w.name for w, count in zip(self.writers, before, strict=True) if w.acknowledged < count + 2
            ]
            assert waited < (patience_seconds or self.patience_seconds), (
                f"no service after {waited:.0f} s for {late}"
            )
            await asyncio.sleep(_QUIET_SECONDS)
        return time.monotonic() - begin

    async def until_acknowledged(self, attempt: Callable[[], Awaitable[Any]], *, done: str = "") -> Any:
        """Make an attempt again and again until it succeeds, or says that its effect is there already."""
        begin = time.monotonic()
        while True:
            try:
                answer = await attempt()
            except (grpc.aio.AioRpcError, SessionHistoryError) as error:
                code = error.code() if isinstance(error, grpc.aio.AioRpcError) else error.code
                if done and code.name == done:
                    return None
                text = str(error.details() if isinstance(error, grpc.aio.AioRpcError) else error)
                may_retry = code in RETRIABLE or text == CUT_WHILE_SENDING
                (self.retriable if may_retry else self.failures).append(f"{code.name}: {text}")
                assert may_retry, f"{code.name}: {text}"
                assert time.monotonic() - begin < self.patience_seconds, (
                    f"never acknowledged: {code.name}: {text}"
                )
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - begin)
                return answer


def summary(seconds: list[float]) -> dict[str, float]:
    """Return the median and the maximum of recovery times."""
    return {
        "recovery_seconds_median": round(statistics.median(seconds), 2),
        "recovery_seconds_max": round(max(seconds), 2),
    }
