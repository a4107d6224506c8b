"""PgBouncers in front of the Postgres of the tests, and servers as processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import pgbouncer
from support.databases import store_settings
from support.processes import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.pgbouncer import PgBouncer


# The tests of the store have the list of all statements.
sys.path.append(str(Path(__file__).parents[1] / "store"))


@pytest.fixture(scope="session")
def bouncer(postgres_url: str) -> Iterator[PgBouncer]:
    """A PgBouncer in transaction mode."""
    with pgbouncer.running(postgres_url) as running:
        yield running


@pytest.fixture(scope="session")
def session_bouncer(postgres_url: str) -> Iterator[PgBouncer]:
    """A PgBouncer in session mode, with enough sessions for a server."""
    with pgbouncer.running(postgres_url, "session", sessions=30) as running:
        yield running


@pytest.fixture
def moving_url(bouncer: PgBouncer, database_url: str) -> str:
    """The URL of a migrated database through a pooler that moves sessions; its role has no settings."""
    return bouncer.url(database_url)


@pytest.fixture
def pooled_url(moving_url: str, database_url: str) -> str:
    """The URL of a migrated database through such a pooler; its role has the settings."""
    store_settings(database_url)
    return moving_url


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends them after the test."""
    servers: list[Server] = []

    def start_one(*arguments: str | Path, **variables: str) -> Server:
        servers.append(Server(*arguments, **variables))
        return servers[-1]

    yield start_one
    for server in servers:
        server.clean()
