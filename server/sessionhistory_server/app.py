"""The composition root: everything is built here, started in order, and stopped in reverse."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server import listening, retention
from sessionhistory_server.append_stream import AppendStreams
from sessionhistory_server.compaction import Compactor
from sessionhistory_server.edits import Edits
from sessionhistory_server.history import SessionHistory
from sessionhistory_server.lifecycle import ActiveSessions
from sessionhistory_server.listening import ListenError
from sessionhistory_server.metrics import Metrics, slot_size
from sessionhistory_server.recount import Recounts
from sessionhistory_server.rpc.calls import ending
from sessionhistory_server.rpc.compaction import CompactionServicer
from sessionhistory_server.rpc.edits import EditServicer
from sessionhistory_server.rpc.health import Health
from sessionhistory_server.rpc.lifecycle import LifecycleServicer
from sessionhistory_server.rpc.multi_call import MultiCallServicer
from sessionhistory_server.rpc.pieces import OpenStreams
from sessionhistory_server.rpc.recount import RecountServicer
from sessionhistory_server.rpc.server import METHODS, build_server
from sessionhistory_server.rpc.servicer import HistoryServicer
from sessionhistory_server.rpc.state import StateServicer
from sessionhistory_server.rpc.streams import StreamServicer
from sessionhistory_server.slots import Slots
from sessionhistory_server.state import SessionState
from sessionhistory_server.store.database import Database
from sessionhistory_server.store.readiness import Finding, Journal, Monitor, State
from sessionhistory_server.store.window import Defaults
from sessionhistory_server.tokens import TokenCounters

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from grpc import StatusCode

    from sessionhistory_server.config import Address, Settings
    from sessionhistory_server.rpc.base import Servicer

_RESTART_DELAY_SECONDS: Final = 1.0
_CANCEL_AGAIN_SECONDS: Final = 0.2
_STREAMS_SHARE_OF_GRACE: Final = 0.8

_log = logging.getLogger(__name__)


def slots(workers: int) -> Slots:
    """Return memory for the metrics of so many workers."""
    return Slots(workers, slot_size(METHODS))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """What is one worker's of what several have in common; by default it has everything to itself."""

    shares_port: bool = False
    slots: Slots = dataclasses.field(default_factory=lambda: slots(1))
    slot: int = 0
    metrics_listener: socket.socket | None = None
    on_database: Callable[[Finding], None] = dataclasses.field(default_factory=lambda: Journal().write)


class App:
    """A service on a database: ``start`` it, ``stop`` it once."""

    def __init__(self, settings: Settings, database_url: str, share: Share | None = None) -> None:
        self._settings = settings
        self._share = share or Share()
        self._stack = AsyncExitStack()
        self._health = Health()
        self._database = Database(
            database_url,
            pool_size=settings.pool_size,
            pool_timeout_seconds=settings.pool_timeout_seconds,
        )
        self._monitor = Monitor(database_url, self._database, self._on_database)
        self.metrics = Metrics(
            METHODS, self._share.slots, self._share.slot, lambda: self._database.pool_stats
        )
        self._open_streams = OpenStreams()
        self._counters = TokenCounters(settings.token_counter, settings.tiktoken_dir)
        history = self._history()
        self._append_streams = AppendStreams(self._database, history)
        self._server = build_server(
            settings,
            self._servicers(history),
            self.metrics,
            self._health,
            self._open_streams,
            shares_port=self._share.shares_port,
        )
        self.port = 0
        """The port of gRPC, once started."""

    @property
    def is_idle(self) -> bool:
        """Whether all connections to its database wait for work: no call that has begun is unfinished."""
        stats = self._database.pool_stats
        return bool(stats) and stats["pool_available"] == stats["pool_size"] and not stats["requests_waiting"]

    async def start(self) -> None:
        """Listen, and serve as soon as the database is ready.

        Raises:
            ListenError: an address is in use or not ours.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._database.close)
            self._serve_metrics(stack)
            self.port = _bind(self._server.add_insecure_port, self._settings.listen)
            await self._server.start()
            # Stopped after the server: until then, calls that wait for a lost database are failed.
            self._run(stack, self._monitor.run)
            stack.push_async_callback(self._stop_server)
            stack.push_async_callback(self._health.end_watches)
            if self._share.slot == 0:  # one of several workers is enough
                self._run(stack, partial(retention.run, self._database))
            stack.push_async_callback(self._health.shut_down)
            self._stack = stack.pop_all()

    async def stop(self, *, drain_seconds: float = 0) -> None:
        """Report NOT_SERVING, wait for balancers to notice, let calls finish, close the database."""
        await self._health.shut_down()
        await asyncio.sleep(drain_seconds)
        await self._stack.aclose()

    async def _stop_server(self) -> None:
        """Let calls finish; end the streams that go on, while there is time to keep what they brought."""
        grace_seconds = self._settings.grace_seconds
        patience_seconds = grace_seconds * _STREAMS_SHARE_OF_GRACE
        timer = asyncio.get_running_loop().call_later(patience_seconds, self._open_streams.end)
        await self._server.stop(grace_seconds)
        timer.cancel()
        await self._append_streams.close()

    def _history(self) -> SessionHistory:
        settings = self._settings
        defaults = Defaults(
            max_messages=settings.history_max_messages,
            token_budget=settings.history_token_budget,
            model_token_budgets=settings.model_token_budgets_json,
        )
        return SessionHistory(
            self._database,
            defaults,
            self._counters,
            delete_retention=self._delete_retention,
            coalesce=settings.coalesce,
        )

    def _active_sessions(self) -> ActiveSessions:
        counter = self._settings.token_counter
        return ActiveSessions(self._database, token_counter=counter, delete_retention=self._delete_retention)

    @property
    def _delete_retention(self) -> timedelta:
        return timedelta(days=self._settings.delete_retention_days)

    def _servicers(self, history: SessionHistory) -> list[Servicer]:
        requires = self._settings.require_user_id
        edits = Edits(
            self._database, token_counter=self._counters.name, delete_retention=self._delete_retention
        )
        service = HistoryServicer(history, self.metrics, require_user_id=requires)
        return [
            service,
            MultiCallServicer(service, self._ended),
            RecountServicer(Recounts(self._database, self._counters), require_user_id=requires),
            StreamServicer(self._append_streams, self.metrics, require_user_id=requires),
            EditServicer(edits, require_user_id=requires),
            StateServicer(SessionState(self._database), require_user_id=requires),
            LifecycleServicer(self._active_sessions(), require_user_id=requires),
            CompactionServicer(Compactor(self._database, self._counters), require_user_id=requires),
        ]

    def _ended(self, method: str) -> Callable[[StatusCode, float], None]:
        return ending(self.metrics, method, self._settings.slow_call_millis / 1_000)

    def _serve_metrics(self, stack: AsyncExitStack) -> None:
        address = self._settings.metrics_listen
        if address is not None:
            listener = self._share.metrics_listener or listening.listen("metrics", address)
            stack.push_async_callback(asyncio.to_thread, self.metrics.serve(listener))

    def _run(self, stack: AsyncExitStack, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run work in the background until the stack is closed."""
        task = asyncio.create_task(_endlessly(work))

        async def cancel() -> None:
            # More than once: Python 3.11's wait_for swallows a cancellation that comes with a result.
            while not task.done():
                task.cancel()
                await asyncio.wait((task,), timeout=_CANCEL_AGAIN_SECONDS)

        stack.push_async_callback(cancel)

    async def _on_database(self, found: Finding) -> None:
        await self._health.set_serving(serving=found.state is State.READY)
        self._share.on_database(found)


async def _endlessly(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run work, and run it again if it breaks: the service must not go on without it."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - a defect must not end it silently
            _log.exception("background work failed")
            await asyncio.sleep(_RESTART_DELAY_SECONDS)


def _bind(add_port: Callable[[str], int], address: Address) -> int:
    try:
        return add_port(str(address))
    except RuntimeError as error:
        raise ListenError(f"cannot serve gRPC on {address}: is another server there?") from error
