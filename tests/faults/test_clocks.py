"""The clock of Postgres or of the server jumps: sequences and times in a session still only grow."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import audit
import leaks
import pytest
from load import Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Cluster

    from support.processes import Server

POOL_SIZE = 4
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@pytest.fixture
def library() -> Path:
    """Return the library that shifts a process's clock; skip the test without it."""
    if not LIBRARY.exists():
        missing = f"no {LIBRARY}: apt install faketime"
        if os.environ.get("SESSION_HISTORY_REQUIRE_TOOLS"):
            pytest.fail(missing)
        pytest.skip(missing)
    return LIBRARY


async def test_postgres_goes_back_in_time(
    start: Callable[..., Server], cluster: Cluster, library: Path
) -> None:
    """Postgres is restarted with a clock two hours behind the one it had."""
    cluster.stop()
    cluster.start(variables=(f"LD_PRELOAD={library}", "FAKETIME=+1h"))
    server = start("--database-url", cluster.url, "--workers", "2", "--pool-size", str(POOL_SIZE))
    await asyncio.to_thread(server.wait_for, "database: ready")
    before = await asyncio.to_thread(leaks.held, server)
    load = Load(server.address())
    async with load.running():
        await load.recovery()
        await asyncio.to_thread(cluster.stop)
        await asyncio.to_thread(cluster.start, variables=(f"LD_PRELOAD={library}", "FAKETIME=-1h"))
        await load.recovery()
    await asyncio.to_thread(audit.nothing_lost, cluster.url, load)
    await asyncio.to_thread(leaks.none_since, before, server, cluster, pool_size=POOL_SIZE)


async def test_a_server_with_another_clock(
    start: Callable[..., Server], cluster: Cluster, library: Path
) -> None:
    """Of two servers that write to the same sessions, one is an hour ahead."""
    flags = ("--database-url", cluster.url, "--workers", "1", "--pool-size", str(POOL_SIZE))
    servers = [start(*flags), start(*flags, LD_PRELOAD=str(library), FAKETIME="+1h")]
    loads, before = [], []
    for number, server in enumerate(servers):
        await asyncio.to_thread(server.wait_for, "database: ready")
        before.append(await asyncio.to_thread(leaks.held, server))
        load = Load(server.address(), editors=0)
        for appender in load.appenders:
            appender.name = f"of-{number}-{appender.name}"
        loads.append(load)
    async with loads[0].running(), loads[1].running():
        for load in loads:
            await load.recovery()
    loads[0].appenders += loads[1].appenders
    await asyncio.to_thread(audit.nothing_lost, cluster.url, loads[0])
    for server, held in zip(servers, before, strict=True):
        await asyncio.to_thread(leaks.none_since, held, server, cluster, pool_size=POOL_SIZE, servers=2)
