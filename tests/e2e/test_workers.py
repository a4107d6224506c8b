"""`session-history serve --workers 2`: several processes on one port."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from workers_support import deaths_of, is_running, pids_of

from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.databases import execute
from support.errors import failure_of
from support.locks import locked
from support.metrics import Metrics
from support.processes import run
from support.proxy import Proxy, free_port
from support.service import NOT_SERVING, SERVING, connect
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.errors import Failure
    from support.processes import Server

    Start = Callable[..., Server]
    Open = Callable[[Server], "asyncio.Future[dict[int, Caller]]"]

_WAITING = """
select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
"""
_APPENDS = ("sessionhistory_rpcs_total", "OK", "AppendMessage")
_CONNECTIONS = ("sessionhistory_pool_connections",)


class Caller:
    """Calls one worker, over a connection of its own."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self.stub: Any = pb_grpc.SessionHistoryServiceStub(channel)
        self.stored: list[str] = []
        self.failures: list[grpc.StatusCode] = []

    async def append(self, message_id: str) -> pb.AppendMessageResponse:
        """Append a message to the one session."""
        message = message_pb2.Message(message_id=message_id, role=message_pb2.ROLE_USER, content="hello")
        response: pb.AppendMessageResponse = await self.stub.AppendMessage(
            pb.AppendMessageRequest(session_id="s", message=message, new_session=session_pb2.SessionFields())
        )
        return response

    async def append_on_and_on(self, name: str) -> None:
        """Append until cancelled, and retry each message until it is stored."""
        while True:
            message_id = f"{name}-{len(self.stored)}"
            try:
                await self.append(message_id)
            except grpc.aio.AioRpcError as error:
                self.failures.append(error.code())
            else:
                self.stored.append(message_id)

    async def health(self) -> int:
        """Return the worker's health."""
        status: int = (await self._health.Check(health_pb2.HealthCheckRequest())).status
        return status


@pytest_asyncio.fixture
async def callers() -> AsyncIterator[Open]:
    """Connects to a server until there is a caller of each of its two workers; returns them by number."""
    async with AsyncExitStack() as stack:

        async def connect_to_both(server: Server) -> dict[int, Caller]:
            await asyncio.to_thread(server.wait_for, "database: ready")
            found: dict[int, Caller] = {}
            while len(found) < 2:
                caller = Caller(await stack.enter_async_context(connect(server.address())))
                found.setdefault(await _worker_of(caller, server), caller)
            return found

        yield lambda server: asyncio.ensure_future(connect_to_both(server))


async def _worker_of(caller: Caller, server: Server) -> int:
    request_id = f"{id(caller)}-{len(server.lines)}"
    with suppress(grpc.aio.AioRpcError):  # the session may not exist yet
        await caller.stub.GetSession(
            pb.GetSessionRequest(session_id="s"), metadata=[("x-request-id", request_id)]
        )
    await until(lambda: request_id in server.log)
    (event,) = (event for event in server.events if event.get("request_id") == request_id)
    return int(event["worker"])


@pytest.fixture
def server(start: Start, database_url: str) -> Server:
    """Two workers whose log tells which one has answered."""
    return start("--workers", "2", "--log-level", "debug", "--database-url", database_url)


async def test_two_workers_serve_on_one_port(server: Server, callers: Open) -> None:
    """Both workers take calls; the server logs once that it listens, and once that it is ready."""
    both = await callers(server)
    assert sorted(both) == [1, 2]
    assert [(await both[n].append(f"m{n}")).message.sequence for n in both] == [1, 2]
    assert [await caller.health() for caller in both.values()] == [SERVING, SERVING]
    assert len(pids_of(server)) == 2
    assert server.log.count(f"listening on {server.address()}") == 1
    assert server.log.count("database: ") == 1


async def test_a_killed_worker_is_replaced_under_load(
    server: Server, callers: Open, database_url: str
) -> None:
    """After a kill the other worker's callers notice nothing, and acknowledged appends are stored once."""
    both = await callers(server)
    victim = pids_of(server)[0]
    load = [asyncio.create_task(caller.append_on_and_on(f"c{n}")) for n, caller in both.items()]
    await until(lambda: all(len(caller.stored) > 10 for caller in both.values()))
    os.kill(victim, signal.SIGKILL)
    await until(lambda: victim not in pids_of(server) and len(pids_of(server)) == 2)
    before = {n: len(caller.stored) for n, caller in both.items()}
    await until(lambda: all(len(caller.stored) > before[n] + 10 for n, caller in both.items()))
    for task in load:
        task.cancel()
    (death,) = deaths_of(server)
    assert (death["pid"], death["cause"]) == (victim, "SIGKILL")
    number = int(death["event"].split()[1])
    assert set(both[number].failures) <= {grpc.StatusCode.UNAVAILABLE}
    assert both[3 - number].failures == []
    stored = [row[0] for row in execute(database_url, "select message_id from messages order by sequence")]
    assert len(stored) == len(set(stored))
    assert {name for caller in both.values() for name in caller.stored} <= set(stored)


async def test_a_rate_holds_for_all_workers_together(start: Start, callers: Open, database_url: str) -> None:
    """In each second of the clock, both workers together let as many calls through as the limit."""
    name, maximum = "tenant_requests_per_second", 20
    assert run("limits", "set", f"{name}={maximum}", "--database-url", database_url).returncode == 0
    flags = ("--workers", "2", "--limits", "--log-level", "debug")
    both = await callers(start(*flags, "--database-url", database_url))
    passed: Counter[int] = Counter()
    refused: dict[int, list[Failure]] = {1: [], 2: []}

    async def call_on_and_on(number: int) -> None:
        while True:
            began = int(time.monotonic())
            try:
                await both[number].append(secrets.token_hex(8))
            except grpc.aio.AioRpcError as error:
                refused[number].append(failure_of(error))
            else:  # a call that has begun and ended in a second belongs to it
                passed[began] += began == int(time.monotonic())

    tasks = [asyncio.create_task(call_on_and_on(number)) for number in both for _ in range(8)]
    await until(lambda: all(refused.values()))  # both have read the limit
    passed.clear()
    await until(lambda: len(passed) > 3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 0 < max(passed.values()) <= maximum + 1
    limits = {failure.metadata["limit"] for failures in refused.values() for failure in failures}
    assert limits == {name}


async def test_metrics_are_those_of_all_workers(start: Start, callers: Open, database_url: str) -> None:
    """The metrics are exact sums over all workers, a killed one included, whichever worker answers."""
    port = free_port()
    flags = ("--log-level", "debug", "--metrics-listen", f"127.0.0.1:{port}")
    server = start("--workers", "2", *flags, "--database-url", database_url)
    both = await callers(server)
    metrics = Metrics(port)
    for i in range(20):
        for n, caller in both.items():
            await caller.append(f"{n}-{i}")
    for _ in range(10):  # any of the workers may answer
        assert metrics.read()[_APPENDS] == 40
    await until(lambda: metrics.read()[_CONNECTIONS] == 16)
    gauges = ("sessionhistory_pool", "sessionhistory_tasks")
    counted = {key: value for key, value in metrics.read().items() if not key[0].startswith(gauges)}
    os.kill(pids_of(server)[0], signal.SIGKILL)

    def connections() -> float:
        try:
            found = metrics.read()
        except OSError:
            return 0  # the killed worker had taken the request
        assert all(found[key] >= value for key, value in counted.items())
        return found[_CONNECTIONS]

    await until(lambda: connections() and deaths_of(server))
    await until(lambda: connections() == 16)
    assert metrics.read()[_APPENDS] == 40
    again = await callers(server)
    for n, caller in again.items():
        await caller.append(f"{n}-again")
    found = metrics.read()
    assert found[_APPENDS] == found["sessionhistory_rpc_seconds_count", "AppendMessage"] == 42
    assert found["sessionhistory_appended_messages_total",] == 42


async def test_all_workers_finish_their_calls(server: Server, callers: Open, database_url: str) -> None:
    """At SIGTERM running calls of both workers are answered; then all processes end, with exit code 0."""
    both = await callers(server)
    await both[1].append("first")
    with locked(database_url):
        calls = [asyncio.create_task(caller.append(f"m{n}")) for n, caller in both.items()]
        await until(lambda: len(execute(database_url, _WAITING)) == 2)
        server.signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait_for, "stopping")
        assert not any(call.done() for call in calls)
    answers = await asyncio.gather(*calls)
    assert sorted(answer.message.sequence for answer in answers) == [2, 3]
    assert await asyncio.to_thread(server.wait) == 0, server.log
    assert server.events[-1]["event"] == "stopped"
    assert deaths_of(server) == []


async def test_all_workers_drain(start: Start, callers: Open, database_url: str) -> None:
    """During the drain each worker is NOT_SERVING and answers calls; none is replaced."""
    flags = ("--drain-seconds", "600", "--log-level", "debug", "--database-url", database_url)
    server = start("--workers", "2", *flags)
    both = await callers(server)
    pids = pids_of(server)
    server.signal(signal.SIGTERM)
    for n, caller in both.items():
        while await caller.health() != NOT_SERVING:
            pass
        await caller.append(f"m{n}")
    server.signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.wait) == -signal.SIGTERM
    await until(lambda: not any(map(is_running, pids)))


async def test_the_database_is_ready_when_it_is_for_all(start: Start, proxy: Proxy, callers: Open) -> None:
    """An outage is logged once for all workers, and its end when all workers are past it."""
    server = start("--workers", "2", "--log-level", "debug", "--database-url", proxy.url)
    both = await callers(server)
    await proxy.refuse()
    await asyncio.to_thread(server.wait_for, "database: cannot be used")
    proxy.heal()
    await asyncio.to_thread(server.wait_for, "seconds without it")
    assert [await caller.health() for caller in both.values()] == [SERVING, SERVING]
    told = [event["event"] for event in server.events if event["event"].startswith("database: ")]
    assert all(before != after for before, after in pairwise(told))
    assert ["ready" in line for line in told] == [True] + [False] * (len(told) - 2) + [True]
