"""The monitor of a distributed database, with nodes that the tests invent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from watched import watching

from sessionhistory_server.errors import UnavailableError
from sessionhistory_server.store.postgres import citus, database_state, node_watch, pool
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding
from sessionhistory_server.store.postgres.nodes import Node, Nodes
from support.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

WELL = Nodes((Node("a:1", 3), Node("b:2", 1)), 4)
PARTLY = Nodes((Node("a:1", 3), Node("b:2", 1, "Connection refused")), 4, 1)
LOST = Nodes((Node("a:1", 3, "Connection refused"), Node("b:2", 1, "Connection refused")), 4, 4)


class Invented:
    """The nodes that probes find; ``None``: the probes fail."""

    def __init__(self) -> None:
        self.nodes: Nodes | None = WELL
        self.probes = 0
        self.are_distributed = True

    async def probe(self, _: Connection) -> Nodes:
        """Return the nodes."""
        self.probes += 1
        if self.nodes is None:
            raise psycopg.OperationalError
        return self.nodes

    async def say(self, _: Connection) -> bool:
        """Return whether the database counts as distributed."""
        return self.are_distributed


@pytest.fixture(autouse=True)
def kind_of_statements() -> None:
    """Each test runs once."""


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> Invented:
    """The nodes of the test's database, which counts as distributed, and is probed often."""
    made = Invented()
    monkeypatch.setattr(citus, "is_distributed", made.say)
    monkeypatch.setattr(node_watch, "probe_nodes", made.probe)
    monkeypatch.setattr(node_watch, "_INTERVAL_SECONDS", 0.1)
    return made


async def test_a_lost_part_is_a_reason_and_the_loss_of_all_is_a_state(
    database_url: str, invented: Invented
) -> None:
    """The database is READY while a shard can be reached, UNAVAILABLE while none can, and recovers."""
    async with watching(database_url) as watched:
        invented.nodes = PARTLY
        await until(lambda: watched.told[-1].reason)
        assert watched.told[-1] == Finding(DatabaseState.READY, PARTLY.reason)
        assert await watched.works()
        invented.nodes = LOST
        await until(lambda: watched.states[-1] is DatabaseState.UNAVAILABLE)
        assert not await watched.works()
        invented.nodes = WELL
        await until(lambda: watched.told[-1] == Finding(DatabaseState.READY))
        assert await watched.works()


async def test_a_node_is_away_for_one_reason(database_url: str, invented: Invented) -> None:
    """A node that gives another reason is not reported again."""
    async with watching(database_url) as watched:
        invented.nodes = PARTLY
        await until(lambda: watched.told[-1].reason)
        invented.nodes = Nodes((Node("a:1", 3), Node("b:2", 1, "starting up")), 4, 1)
        probes = invented.probes
        await until(lambda: invented.probes > probes + 1)
        invented.nodes = WELL
        await until(lambda: not watched.told[-1].reason)
        assert [found.reason for found in watched.told] == ["", PARTLY.reason, ""]


async def test_a_probe_of_nodes_that_fails_is_said(database_url: str, invented: Invented) -> None:
    """If the nodes cannot be probed, calls are served, and the finding says so."""
    async with watching(database_url) as watched:
        invented.nodes = None
        await until(lambda: watched.told[-1].reason)
        assert watched.is_ready
        assert "cannot be probed" in watched.told[-1].reason
        assert await watched.works()
        invented.nodes = WELL
        await until(lambda: watched.told[-1] == Finding(DatabaseState.READY))


async def test_connections_are_replaced_when_the_nodes_change(database_url: str, invented: Invented) -> None:
    """No connection keeps its own sessions on the nodes from before a change."""
    async with watching(database_url) as watched:
        before = watched.database.pool.known if watched.database.pool else []
        invented.nodes = PARTLY
        await until(lambda: all(one.closed for one in before))
        assert await watched.works()


async def test_connections_stay_when_the_nodes_cannot_be_probed(
    database_url: str, invented: Invented
) -> None:
    """A probe that fails, as under a high load, says nothing about the connections."""
    async with watching(database_url) as watched:
        before = watched.database.pool.known if watched.database.pool else []
        invented.nodes = None
        await until(lambda: watched.told[-1].reason)
        invented.nodes = WELL
        await until(lambda: not watched.told[-1].reason)
        assert not any(one.closed for one in before)


async def test_connections_are_replaced_when_the_sessions_are_distributed(
    database_url: str, invented: Invented
) -> None:
    """All connections take the statements for distributed sessions soon after the change."""
    invented.are_distributed = False
    async with watching(database_url) as watched:
        pool = watched.database.pool
        assert pool
        assert not any(one.is_distributed for one in pool.known)
        invented.are_distributed = True
        await until(lambda: all(one.is_distributed for one in pool.known if not one.closed))
        assert await watched.works()
        assert watched.told == [Finding(DatabaseState.READY)]


async def test_work_that_hangs_ends_while_a_node_is_away(
    database_url: str, invented: Invented, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that may wait for a silent node does not keep its connection."""

    async def wait(connection: Connection) -> None:
        await connection.fetch("select true from pg_sleep(600)", {})

    monkeypatch.setattr(pool, "_STUCK_SECONDS", 0.1)
    async with watching(database_url) as watched:
        hanging = asyncio.create_task(watched.database.write(wait))
        invented.nodes = PARTLY
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(UnavailableError):
                await hanging
        assert await watched.works()


async def test_a_refused_write_says_nothing_about_all_nodes(
    database_url: str, monkeypatch: pytest.MonkeyPatch, invented: Invented
) -> None:
    """The state stays READY when one node refuses writes, and no write is tried."""

    async def fail(_: Connection) -> str:
        return "a write was tried"

    monkeypatch.setattr(database_state, "write_failure", fail)
    async with watching(database_url) as watched:
        watched.database.refused_writes.note("53100")
        watched.database.suspect.set()
        invented.nodes = PARTLY
        await until(lambda: watched.told[-1].reason == PARTLY.reason)
        assert set(watched.states) == {DatabaseState.READY}


def test_the_reason_names_the_part_and_each_node() -> None:
    """The text for operators has the part that cannot be reached, and the faults of nodes with remedies."""
    slow = Node("c:3", 2, missing=("jit", "lock_timeout"))
    full = Node("d:4", 2, is_read_only=True)
    assert not WELL.reason
    assert PARTLY.reason == (
        "1 of 4 shards (about 25% of the sessions) cannot be reached: b:2 does not answer: Connection refused"
    )
    assert LOST.reason.startswith("4 of 4 shards (all sessions) cannot be reached: a:1 does not answer")
    assert Nodes((slow, full), 4).reason == (
        "c:3 lacks settings such as jit: run `session-history migrate`;"
        " d:4 takes no writes: it is a standby, or its sessions are read-only"
    )
