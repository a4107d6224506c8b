"""Deploys: servers are replaced one by one under load, also those of the release before."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import audit
import leaks
from load import Load

from support import releases
from support.processes import run
from support.proxy import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster import Cluster

    from support.processes import Server

    Begin = Callable[[str], Server]

POOL_SIZE = 4
LAST = max(releases.BEFORE)
"""The revision that this release adds."""


async def test_servers_stopped_in_turn(start: Callable[..., Server], cluster: Cluster) -> None:
    """Callers get only codes that allow a retry, and all acknowledged writes are stored."""
    begin = _beginning(start, cluster)
    await _deploy(cluster, begin, begin)


async def test_the_release_before_is_replaced(
    start: Callable[..., Server], new_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    """That holds too while the schema is migrated under servers of the release before."""
    folder = await asyncio.to_thread(releases.extract, LAST, tmp_path)
    cluster = new_cluster()
    await asyncio.to_thread(cluster.create, f"{int(LAST) - 1:04}")

    def begin_old(listen: str) -> Server:
        server = releases.serve(folder, cluster.url, listen=listen)
        server.wait_for("database: ready")
        return server

    await _deploy(cluster, begin_old, _beginning(start, cluster))


def _beginning(start: Callable[..., Server], cluster: Cluster) -> Begin:
    def begin(listen: str) -> Server:
        flags = ("--workers", "1", "--pool-size", str(POOL_SIZE), "--listen", listen)
        server = start("--database-url", cluster.url, *flags)
        server.wait_for("database: ready")
        return server

    return begin


async def _deploy(cluster: Cluster, begin_old: Begin, begin_new: Begin) -> None:
    """Serve from two addresses under load, migrate, and replace the servers in turn."""
    listen = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    loads = [Load(listen[0]), Load(listen[1], editors=0, appenders=2)]
    for appender in loads[1].appenders:
        appender.name = f"other-{appender.name}"
    async with AsyncExitStack() as stack:
        old = []
        for address in listen:
            old.append(await asyncio.to_thread(begin_old, address))
            stack.callback(old[-1].clean)
        for load in loads:
            await stack.enter_async_context(load.running())
            await load.recovery()
        migrated = await asyncio.to_thread(run, "migrate", "--database-url", cluster.url)
        assert migrated.returncode == 0, migrated.stderr
        for address, server, load in zip(listen, old, loads, strict=True):
            await load.recovery()
            await asyncio.to_thread(leaks.ends_in_order, server)
            new = await asyncio.to_thread(begin_new, address)
            before = await asyncio.to_thread(leaks.held, new)
            await load.recovery()
    loads[0].appenders += loads[1].appenders
    loads[0].failures += loads[1].failures
    await asyncio.to_thread(audit.nothing_lost, cluster.url, loads[0])
    await asyncio.to_thread(leaks.none_since, before, new, cluster, pool_size=POOL_SIZE, servers=2)
