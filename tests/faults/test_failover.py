"""A primary is killed and its synchronous standby promoted: no acknowledged write is lost."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import audit
import leaks
from cluster import DATABASE, ROLE
from load import Load, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Cluster

    from support.processes import Server

SERVICE_SECONDS = 10
POOL_SIZE = 4
SHORT_ROUNDS = 1
LONG_ROUNDS = 10


async def test_failover(
    start: Callable[..., Server],
    cluster: Cluster,
    new_cluster: Callable[..., Cluster],
    rounds: Callable[[int, int], int],
    record: Callable[..., None],
) -> None:
    """With both hosts in the URL, every caller is served within 10 s of the promotion, without a restart."""
    seconds: list[float] = []
    acknowledged = 0
    primary = cluster
    for number in range(rounds(SHORT_ROUNDS, LONG_ROUNDS)):
        if number:
            primary = new_cluster()
            await asyncio.to_thread(primary.create)
        standby = new_cluster()
        await asyncio.to_thread(standby.follow, primary)
        server = await asyncio.to_thread(_serving_on, start, primary, standby)
        before = await asyncio.to_thread(leaks.held, server)
        load = Load(server.address())
        async with load.running():
            await load.recovery()
            await asyncio.to_thread(primary.crash)
            begin = time.monotonic()
            await asyncio.to_thread(standby.promote)
            await load.recovery(patience_seconds=SERVICE_SECONDS)
            seconds.append(time.monotonic() - begin)
        await asyncio.to_thread(audit.nothing_lost, standby.url, load)
        await asyncio.to_thread(leaks.none_since, before, server, standby, pool_size=POOL_SIZE)
        acknowledged += load.acknowledged
        print(f"failover, round {number + 1}: {acknowledged} acknowledged, {seconds[-1]:.2f} s")  # noqa: T201
        await asyncio.to_thread(leaks.ends_in_order, server)
        await asyncio.to_thread(standby.stop)
    record(
        "failover to a synchronous standby",
        rounds=len(seconds),
        acknowledged=acknowledged,
        lost_doubled_reordered=0,
        **summary(seconds),
    )


def _serving_on(start: Callable[..., Server], primary: Cluster, standby: Cluster) -> Server:
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = f"postgresql://{ROLE}@{hosts}/{DATABASE}?target_session_attrs=read-write&sslmode=disable"
    server = start("--database-url", url, "--workers", "2", "--pool-size", str(POOL_SIZE))
    server.wait_for("database: ready")
    return server
