"""Servers that are connected to different nodes of one cluster."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from store_support import append, new_message, use_cases

from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store.advisory_locks import lock_user, try_lock_job
from sessionhistory_server.store.postgres.database import Database
from support.callers import caller
from support.processes import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.citus import CitusDatabases
    from support.service import Service

ROUNDS = 20


@pytest_asyncio.fixture
async def nodes(cluster: CitusDatabases, new_database_url: str) -> AsyncIterator[list[Database]]:
    """A pool on each node of one database."""
    async with AsyncExitStack() as stack:
        pools = [
            Database(url, pool_size=4, pool_timeout_seconds=30) for url in cluster.urls(new_database_url)
        ]
        for pool in pools:
            stack.push_async_callback(pool.close)
            await pool.open_pool()
        yield pools


async def test_a_server_serves_on_each_node(
    serve: Callable[..., Awaitable[Service]], cluster: CitusDatabases, new_database_url: str
) -> None:
    """A message that one server has stored is in the window of each other server; health is SERVING."""
    services = [await serve(url) for url in cluster.urls(new_database_url)]
    assert len(services) == len(cluster.nodes)
    for place, each in enumerate(services):
        history = each.app._use_cases  # noqa: SLF001 - else each call would need its stub
        new = append("s", new_message(f"m{place}"), new_session=SessionContent())
        await history.messages.append(caller(), new)
        for other in services:
            window = await other.app._use_cases.windows.get(caller(), "s", WindowLimits())  # noqa: SLF001
            assert window.messages[-1].content.message_id == f"m{place}"


@pytest.mark.parametrize("places", [(0, 0, 0), (0, 1, 2)], ids=["on one node", "on three nodes"])
async def test_the_lock_of_a_user_is_one_for_all_nodes(
    nodes: list[Database], places: tuple[int, ...]
) -> None:
    """Of calls at once that want an active session, one creates it.

    The node of the lock and that of the new session do not commit at the same time.
    """
    histories = [use_cases(nodes[place % len(nodes)]) for place in places]
    for number in range(ROUNDS):
        calls = (
            history.sessions.ensure_active(caller(f"u{number}"), "", SessionContent())
            for history in histories
            for _ in range(3)
        )
        outcomes = await asyncio.gather(*calls)
        assert len({session.session_id for session, _ in outcomes}) == 1
        assert sum(created for _, created in outcomes) == 1


async def test_the_lock_of_a_job_is_one_for_all_nodes(nodes: list[Database]) -> None:
    """While a transaction on one node has a job, no transaction on any node gets it; other jobs are free."""
    first, *others = nodes
    assert first.pool
    connection = await first.pool.take()
    async with connection.transaction():
        assert await try_lock_job(connection, "job")
        await lock_user(connection, "tenant", "user")
        for other in (first, *others):
            assert not await other.read(lambda c: try_lock_job(c, "job"))
            assert await other.read(lambda c: try_lock_job(c, "another job"))
    await first.pool.give_back(connection)
    assert await others[0].read(lambda c: try_lock_job(c, "job"))


def test_check_answers_on_each_node(cluster: CitusDatabases, new_database_url: str) -> None:
    """`check` finds the schema on each node. Only the coordinator may be migrated."""
    coordinator, *workers = cluster.urls(new_database_url)
    assert run("migrate", "--database-url", coordinator).returncode == 0
    for url in (coordinator, *workers):
        checked = run("check", "--database-url", url)
        assert checked.returncode == 0, checked.stdout
    refused = run("migrate", "--database-url", workers[0])
    assert refused.returncode == 1
    assert "coordinator" in refused.stderr
