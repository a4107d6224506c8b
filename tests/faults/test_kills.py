"""Processes are killed (-9) at random moments under load: no acknowledged write is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import audit
import leaks
import pytest
from load import Load, summary

from support.proxy import free_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Cluster

    from support.processes import Server

SHORT_ROUNDS = 2
LONG_ROUNDS = 20
"""The number of kills of each of five kinds: 100 in all."""

POOL_SIZE = 4


class Site:
    """A server with its Postgres, which has the same port after a restart."""

    def __init__(self, start: Callable[..., Server], cluster: Cluster) -> None:
        self._start = start
        self._listen = f"127.0.0.1:{free_port()}"
        self.cluster = cluster
        self.server = self.begin()

    def begin(self) -> Server:
        """Start the server and wait until it serves."""
        flags = ("--workers", "2", "--pool-size", str(POOL_SIZE), "--listen", self._listen)
        self.server = self._start("--database-url", self.cluster.url, *flags)
        self.server.wait_for("database: ready")
        return self.server

    @property
    def address(self) -> str:
        """The address on which the server listens."""
        return self._listen

    def kill_worker(self) -> None:
        """Kill one worker; the supervisor replaces it."""
        os.kill(random.choice(leaks.workers(self.server)), signal.SIGKILL)

    def kill_supervisor(self) -> None:
        """Kill the supervisor, after which the workers end; start the server again."""
        workers = leaks.workers(self.server)
        self.server.process.kill()
        self.server.wait()
        eventually(lambda: not any(map(leaks.resident_bytes, workers)))
        self.begin()

    def kill_backend(self) -> None:
        """Kill one backend of Postgres, which ends all others and recovers by itself."""
        eventually(self.cluster.kill_backend)

    def kill_postmaster(self) -> None:
        """Kill Postgres, and start it again."""
        self.cluster.crash()
        self.cluster.start()

    def kill_everything(self) -> None:
        """Kill the server and Postgres at the same time; start both again."""
        self.server.signal(signal.SIGKILL)
        self.cluster.crash()
        self.server.wait()
        self.cluster.start()
        self.begin()


@pytest.mark.parametrize("victim", ["worker", "supervisor", "backend", "postmaster", "everything"])
async def test_nothing_is_lost_when_killed(
    start: Callable[..., Server],
    cluster: Cluster,
    victim: str,
    rounds: Callable[[int, int], int],
    record: Callable[..., Any],
) -> None:
    """No write is lost, doubled or out of order, counters match the rows, and nothing leaks.

    Every caller is served again.
    """
    site = await asyncio.to_thread(Site, start, cluster)
    before = leaks.held(site.server)
    load = Load(site.address)
    seconds = []
    async with load.running():
        await load.recovery()
        for number in range(1, rounds(SHORT_ROUNDS, LONG_ROUNDS) + 1):
            await asyncio.sleep(random.uniform(0.05, 0.5))  # the moment is random, not a wait
            begin = time.monotonic()
            await asyncio.to_thread(getattr(site, f"kill_{victim}"))
            await load.recovery()
            seconds.append(time.monotonic() - begin)
            print(f"{victim}, round {number}: {load.acknowledged} acknowledged, {seconds[-1]:.2f} s")  # noqa: T201
    await asyncio.to_thread(audit.nothing_lost, cluster.url, load)
    await asyncio.to_thread(leaks.none_since, before, site.server, cluster, pool_size=POOL_SIZE)
    record(
        f"kill -9: {victim}",
        rounds=len(seconds),
        acknowledged=load.acknowledged,
        lost_doubled_reordered=0,
        **summary(seconds),
    )
