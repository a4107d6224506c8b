"""The composition root: it builds the parts of a worker, starts them in order, and stops them in reverse."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.background.registry import supervised_jobs
from sessionhistory_server.background.supervised_task import SupervisedTask
from sessionhistory_server.certificates import certificate_files
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.listening import accepted_connections, listen
from sessionhistory_server.observability.counters import Metrics, numbers_per_worker
from sessionhistory_server.observability.metrics_server import MetricsServer
from sessionhistory_server.observability.shared_memory import SharedIntegers, SharedNumbers
from sessionhistory_server.rpc.accounting import Accounting
from sessionhistory_server.rpc.authentication import Authentication
from sessionhistory_server.rpc.health import Health
from sessionhistory_server.rpc.load.control import LoadControl
from sessionhistory_server.rpc.load.rate_limits import RateLimits
from sessionhistory_server.rpc.load.rates import NUMBERS, Rates
from sessionhistory_server.rpc.peers.strangers import Strangers
from sessionhistory_server.rpc.peers.watcher import PeerWatcher
from sessionhistory_server.rpc.receive import Receiver
from sessionhistory_server.rpc.self_call import SelfCall
from sessionhistory_server.rpc.server import METHODS, bind, build_server
from sessionhistory_server.rpc.services.registry import servicers
from sessionhistory_server.rpc.streaming.waits import StreamRules
from sessionhistory_server.store.postgres.database import Database
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding, Journal
from sessionhistory_server.store.postgres.monitor import Monitor
from sessionhistory_server.store.windows.read import Defaults
from sessionhistory_server.tokens import TokenCounters
from sessionhistory_server.usecases.credentials import AcceptedCredentials
from sessionhistory_server.usecases.following import Following
from sessionhistory_server.usecases.registry import use_cases
from sessionhistory_server.usecases.tenant_limits import HeldLimits

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from sessionhistory_server.certificates import CertificateFiles
    from sessionhistory_server.config import Settings

_STREAMS_SHARE_OF_GRACE: Final = 0.8

# Longer than any wait of the monitor, of the watcher of peers, and of the gauges.
_HANGS_AFTER_SECONDS: Final = 30.0
_GAUGES_SECONDS: Final = 1.0


class ServerEndedError(Exception):
    """The gRPC server has ended without a stop, and accepts no more calls."""


def shared_numbers(workers: int) -> SharedNumbers:
    """Return the shared memory for the metrics of this many workers."""
    return SharedNumbers(workers, numbers_per_worker(METHODS))


def shared_rates(workers: int) -> SharedIntegers:
    """Return the shared memory for the rates of calls of this many workers."""
    return SharedIntegers(workers, NUMBERS)


@dataclass(frozen=True, kw_only=True)
class WorkerResources:
    """The resources that the workers of a server share. The defaults are for a single worker."""

    worker: int = 0
    """The index of the worker."""
    shares_port: bool = False
    numbers: SharedNumbers = field(default_factory=lambda: shared_numbers(1))
    rates: SharedIntegers = field(default_factory=lambda: shared_rates(1))
    metrics_listener: socket.socket | None = None
    certificates: CertificateFiles | None = None
    """The files of TLS; ``None``: those that the settings name, if any."""
    on_database: Callable[[Finding], None] = field(default_factory=lambda: Journal().write)
    """The callback for each change of the database's state."""


class App:
    """The service of one worker on a database. Call ``start`` and then ``stop``, each once."""

    def __init__(
        self, settings: Settings, database_url: str, resources: WorkerResources | None = None
    ) -> None:
        self._settings = settings
        self._resources = resources or WorkerResources()
        self._stack = AsyncExitStack()
        self._certificates = self._resources.certificates or certificate_files(settings)
        self._health = Health()
        self._self_call = SelfCall()
        self.metrics = Metrics(
            METHODS, self._resources.numbers, self._resources.worker, lambda: self._database.pool_stats
        )
        self._database = Database(
            database_url,
            pool_size=settings.pool_size,
            pool_timeout_seconds=settings.pool_timeout_seconds,
            pooled=settings.pooled,
            on_refused_write=self.metrics.count_refused_write,
        )
        self._monitor = Monitor(database_url, self._database, self._on_database, pooled=settings.pooled)
        self._limits = HeldLimits(self._database) if settings.limits else None
        self._use_cases = use_cases(
            self._database,
            TokenCounters(settings.token_counter, settings.tiktoken_dir),
            window_defaults(settings),
            delete_retention=timedelta(days=settings.delete_retention_days),
            coalesce=settings.coalesce,
            limits=self._limits,
        )
        self._stream_rules = StreamRules(settings.stream_idle_seconds, settings.default_deadline_seconds)
        self._watcher = PeerWatcher(
            seconds=settings.default_deadline_seconds,
            max_memory_mib=settings.max_memory_mib,
            count_ended=self.metrics.count_ended_connection,
        )
        self._following = Following(self._database)
        if self._limits is not None:
            self._following.follow(self._limits)
        self._credentials = AcceptedCredentials(settings, self._database, self._following)
        self._authentication = Authentication(
            keys=self._credentials.keys,
            tokens=self._credentials.tokens,
            certificates=self._credentials.certificates,
            must_name_user=settings.require_user_id,
        )
        max_connections = accepted_connections(settings.pool_size)
        self._strangers = Strangers(max_connections, self._watcher)
        self._load = self._load_control()
        accounting = Accounting(self.metrics, settings.slow_call_millis / 1_000)
        self._server = build_server(
            servicers(self._use_cases, self.metrics, accounting, self._load),
            self._health,
            accounting,
            Receiver(self._stream_rules, self._authentication, self._load),
            self._watcher,
            reflection=settings.reflection,
            shares_port=self._resources.shares_port,
            max_connections=max_connections,
        )
        self.port = 0
        """The port of gRPC; 0 before the start."""

    @property
    def is_idle(self) -> bool:
        """Whether no call is in progress, streams left out, and all connections to the database are free."""
        stats = self._database.pool_stats
        is_free = bool(stats) and stats["pool_available"] == stats["pool_size"]
        return is_free and not stats["requests_waiting"] and not self._load.calls

    async def start(self) -> None:
        """Listen, and serve as soon as the database is ready.

        Raises:
            ListenError: an address is in use, or not one of this machine.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._database.close)
            await self._serve_metrics(stack)
            self.port = bind(self._server, self._settings.listen, self._certificates)
            if self._resources.shares_port:
                self._server.add_insecure_port(self._self_call.address)
            await self._server.start()
            # Stopped after the server: until then the monitor fails calls that wait for a lost database.
            _supervise(stack, "monitor", self._monitor.run)
            _supervise(stack, "peers", self._watcher.run)
            _supervise(stack, "strangers", partial(self._strangers.run, self.port))
            if self._limits is not None:
                stack.push_async_callback(self._write_usage)
                _supervise(stack, "metering", self._use_cases.metering.run)
            stack.push_async_callback(self._stop_server)
            stack.callback(self._stream_rules.sends.end)
            if tokens := self._credentials.tokens:
                _supervise(stack, "tokens", tokens.run)
            if self._following.has_tables:
                _supervise(stack, "following", partial(self._following.run, self._after_refresh))
            note = None if self._limits is None else self._use_cases.metering.note
            for job in supervised_jobs(self._database, note):
                _run(stack, job)
            if self._resources.shares_port:
                _supervise(stack, "gauges", self._publish_gauges)
            stack.push_async_callback(self._health.shut_down)
            self._stack = stack.pop_all()

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Wait for a stop.

        Raises:
            ServerEndedError: the gRPC server ended by itself.
        """
        stopping = asyncio.create_task(stop.wait())
        # Never cancelled, because a stop of the server waits for the same future.
        ending = asyncio.create_task(self._server.wait_for_termination())
        await asyncio.wait((stopping, ending), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            raise ServerEndedError("the gRPC server has ended by itself") from ending.exception()

    async def call_itself(self) -> None:
        """Wait until this server has answered or accepted a call. The server must share its port."""
        before = self._watcher.calls_taken
        await self._self_call.until_answered(lambda: self._watcher.calls_taken > before)

    async def refresh(self) -> None:
        """Read the changes of credentials at once, which otherwise takes seconds.

        Raises:
            SessionHistoryError: the database cannot be read.
        """
        await self._following.refresh()

    async def stop(self, *, drain_seconds: float = 0) -> None:
        """Report NOT_SERVING, wait for balancers to notice, let calls finish, close the database."""
        await self._health.shut_down()
        await asyncio.sleep(drain_seconds)
        await self._stack.aclose()

    async def _stop_server(self) -> None:
        """Wait for calls, and end the reads of streams early enough to store the pieces that have arrived."""
        grace_seconds = self._settings.grace_seconds
        patience_seconds = grace_seconds * _STREAMS_SHARE_OF_GRACE
        timer = asyncio.get_running_loop().call_later(patience_seconds, self._stream_rules.reads.end)
        await self._server.stop(grace_seconds)
        timer.cancel()
        await self._use_cases.streams.close()

    async def _serve_metrics(self, stack: AsyncExitStack) -> None:
        address = self._settings.metrics_listen
        if address is not None:
            server = MetricsServer(self.metrics)
            await server.start(self._resources.metrics_listener or listen("metrics", address))
            stack.push_async_callback(server.stop)

    def _load_control(self) -> LoadControl:
        counts = Rates(self._resources.rates, self._resources.worker)
        return LoadControl(
            max_calls=self._settings.max_concurrent_calls,
            max_streams=self._settings.max_streams,
            max_wait_seconds=self._settings.pool_timeout_seconds,
            rates=None if self._limits is None else RateLimits(self._limits, counts),
            metrics=self.metrics,
        )

    async def _publish_gauges(self) -> None:
        """Publish this worker's gauges for the worker that Prometheus asks."""
        while True:
            self.metrics.update_pool()
            self.metrics.update_tasks(len(asyncio.all_tasks()))
            await asyncio.sleep(_GAUGES_SECONDS)  # no event reports a change of these numbers

    async def _after_refresh(self) -> None:
        self._authentication.check_streams()
        if keys := self._credentials.held_keys:
            await keys.store_due_uses()

    async def _write_usage(self) -> None:
        """Write the changes of the last calls, so that no recount must find them."""
        with suppress(SessionHistoryError):
            await self._use_cases.metering.write()

    async def _on_database(self, found: Finding) -> None:
        await self._health.set_serving(reads=found.state.is_served, writes=found.state is DatabaseState.READY)
        self._resources.on_database(found)


def _supervise(stack: AsyncExitStack, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    _run(stack, SupervisedTask(name, work, limit_seconds=_HANGS_AFTER_SECONDS))


def _run(stack: AsyncExitStack, task: SupervisedTask) -> None:
    """Start a task, and stop it with the stack."""
    task.start()
    stack.push_async_callback(task.stop)


def window_defaults(settings: Settings) -> Defaults:
    """Return what the settings say about windows."""
    return Defaults(
        max_messages=settings.history_max_messages,
        token_budget=settings.history_token_budget,
        model_token_budgets=json.dumps(settings.model_token_budgets or {}),
        step_tokens=settings.history_step_tokens,
        model_step_tokens=json.dumps(settings.model_step_tokens or {}),
        step_messages=settings.history_step_messages,
        unanswered_calls=settings.history_unanswered_calls.upper(),
        whole_responses=settings.history_whole_responses,
    )
