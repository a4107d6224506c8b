"""The network to Postgres fails: connections are cut, silent, slow, or closed while idle."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import audit
import leaks
import pytest
from load import Load, summary

from support.proxy import Proxy
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Cluster

    from support.processes import Server

POOL_SIZE = 4
SHORT_ROUNDS = 2
LONG_ROUNDS = 20
RECOVERY_SECONDS = 20
FAULT_SECONDS = 0.5
# A running statement is given up after 65 seconds.
SILENT_RECOVERY_SECONDS = 90
KEEPALIVE_TIMER = "02"


async def cut(proxy: Proxy) -> None:
    """Reset all connections."""
    await proxy.cut()


async def half_open(proxy: Proxy) -> None:
    """Forward nothing for a while, as a firewall that drops packets; then reset the connections."""
    proxy.stall()
    await asyncio.sleep(FAULT_SECONDS)
    await proxy.cut()
    proxy.heal()


async def slow(proxy: Proxy) -> None:
    """Delay all data by a fifth of a second for a while."""
    proxy.delay_seconds = 0.2
    await asyncio.sleep(FAULT_SECONDS)
    proxy.heal()


async def replies_lost(proxy: Proxy) -> None:
    """Drop Postgres's answers, so that commits happen unnoticed; then reset the connections."""
    proxy.swallow_answers()
    await asyncio.sleep(FAULT_SECONDS)
    await proxy.cut()
    proxy.heal()


@pytest.mark.parametrize("fault", [cut, half_open, slow, replies_lost], ids=lambda fault: fault.__name__)
async def test_nothing_is_lost_on_the_way(
    start: Callable[..., Server],
    cluster: Cluster,
    fault: Callable[[Proxy], Any],
    rounds: Callable[[int, int], int],
    record: Callable[..., None],
) -> None:
    """No write of the callers is lost, doubled or out of order, and nothing leaks.

    Every caller is served again.
    """
    async with Proxy.running(cluster.url) as proxy:
        server = await asyncio.to_thread(serving, start, proxy.url)
        before = await asyncio.to_thread(leaks.held, server)
        load = Load(server.address())
        seconds = []
        async with load.running():
            for number in range(1, rounds(SHORT_ROUNDS, LONG_ROUNDS) + 1):
                await load.recovery()
                await fault(proxy)
                seconds.append(await load.recovery(patience_seconds=RECOVERY_SECONDS))
                told = f"{load.acknowledged} acknowledged, {seconds[-1]:.2f} s"
                print(f"{fault.__name__}, round {number}: {told}")  # noqa: T201 - progress
        await asyncio.to_thread(audit.nothing_lost, cluster.url, load)
        await asyncio.to_thread(leaks.none_since, before, server, cluster, pool_size=POOL_SIZE)
        record(
            f"network: {fault.__name__}",
            rounds=len(seconds),
            acknowledged=load.acknowledged,
            lost_doubled_reordered=0,
            **summary(seconds),
        )


async def test_connections_that_fall_silent(
    start: Callable[..., Server],
    cluster: Cluster,
    long_faults: bool,  # noqa: FBT001 - a fixture
    record: Callable[..., None],
) -> None:
    """Connections hang under load: they stay open, and no data passes on them any more."""
    if not long_faults:
        pytest.skip("it takes a minute: only in the long form")
    async with Proxy.running(cluster.url) as proxy:
        server = await asyncio.to_thread(serving, start, proxy.url)
        before = await asyncio.to_thread(leaks.held, server)
        load = Load(server.address(), patience_seconds=SILENT_RECOVERY_SECONDS)
        async with load.running():
            await load.recovery()
            proxy.abandon()
            seconds = [await load.recovery()]
        await asyncio.to_thread(audit.nothing_lost, cluster.url, load)
        await proxy.cut()
        await asyncio.to_thread(leaks.none_since, before, server, cluster, pool_size=POOL_SIZE)
        record(
            "network: connections fall silent",
            rounds=len(seconds),
            acknowledged=load.acknowledged,
            lost_doubled_reordered=0,
            **summary(seconds),
        )


def test_keepalives_are_sent_on_idle_connections(start: Callable[..., Server], cluster: Cluster) -> None:
    """The system has a keepalive timer on each idle connection, of at most 5 seconds."""
    serving(start, cluster.url)
    eventually(lambda: keepalive_timers(cluster.port), patience_seconds=RECOVERY_SECONDS)
    assert max(keepalive_timers(cluster.port)) <= 5


def keepalive_timers(port: int) -> list[float]:
    """Return the seconds until the next keepalive of each connection to a port that has such a timer."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [line[5].split(":") for line in lines if line[2].endswith(f":{port:04X}")]
    ticks = os.sysconf("SC_CLK_TCK")
    return [int(remaining, 16) / ticks for kind, remaining in timers if kind == KEEPALIVE_TIMER]


@pytest.mark.parametrize("closing", ["terminate", "idle_session_timeout", "restart"])
async def test_connections_closed_while_idle(
    start: Callable[..., Server], cluster: Cluster, closing: str
) -> None:
    """Idle connections that Postgres has closed are replaced, and calls succeed."""
    server = await asyncio.to_thread(serving, start, cluster.url)
    before = await asyncio.to_thread(leaks.held, server)
    load = Load(server.address())
    async with load.running():
        await load.recovery()
    await asyncio.to_thread(close_idle, cluster, closing)
    after = Load(server.address(), editors=0, appenders=8)
    for number, appender in enumerate(after.appenders):
        appender.name = f"later-{number}"
    async with after.running():
        await after.recovery(patience_seconds=RECOVERY_SECONDS)
    await asyncio.to_thread(audit.consistent, cluster.url)
    await asyncio.to_thread(leaks.none_since, before, server, cluster, pool_size=POOL_SIZE)


def serving(start: Callable[..., Server], url: str) -> Server:
    """Start a server and wait until it serves."""
    server = start(
        "--database-url", url, "--workers", "2", "--pool-size", str(POOL_SIZE), "--grace-seconds", "5"
    )
    server.wait_for("database: ready")
    return server


def close_idle(cluster: Cluster, closing: str) -> None:
    """Let Postgres close idle connections, in one of its ways."""
    if closing == "terminate":
        assert cluster.terminate_all()
    elif closing == "restart":
        cluster.restart()
    else:
        cluster.alter("idle_session_timeout", "'200ms'")
        time.sleep(1)  # longer than the timeout, so that Postgres closes the sessions
        cluster.alter("idle_session_timeout", "0")
