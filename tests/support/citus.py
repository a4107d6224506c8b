"""Databases for tests on a cluster of Citus, which cannot clone a database.

Each test process makes its databases when it needs them, on all nodes. It empties one after a test, and uses
it again unless the test has changed more than rows.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import sessionhistory_migrations as migrations
from sessionhistory_server.store.postgres import citus as recognition
from sessionhistory_server.store.schema import metadata
from support.databases import TEST_DATABASE_VARIABLE, drop, execute, new_name, store_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    import pytest

    from sessionhistory_server.store.postgres.connection import Connection

TEST_DISTRIBUTED_VARIABLE = "SESSION_HISTORY_TEST_DISTRIBUTED"

ONE_MACHINE, DISTRIBUTED, ON_CITUS = "one machine", "distributed", "Citus"

_VERSION = "select extversion from pg_extension where extname = 'citus'"
_NODES = """
select nodename, nodeport, shouldhaveshards from pg_dist_node
where noderole = 'primary' and isactive order by groupid
"""
_END_OTHERS = """
select pg_terminate_backend(pid, 10000) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
"""
# A change of the schema or of a setting adds a row with a new transaction id, or removes a row.
_CATALOGS = ("pg_attribute", "pg_class", "pg_constraint", "pg_namespace", "pg_proc", "pg_trigger")
_CHANGES = f"""
select count(*), max(xmin::text::bigint) from (
    {" union all ".join(f"select xmin from {name}" for name in (*_CATALOGS, "alembic_version"))}
    union all
    select xmin from pg_db_role_setting
    where setdatabase = (select oid from pg_database where datname = current_database())
) as changes
"""


class Node(NamedTuple):
    """A node of the cluster, at the address where the other nodes reach it."""

    host: str
    port: int
    has_shards: bool


@cache
def version(url: str) -> str:
    """Return the version of Citus in a database; empty if it has no Citus."""
    rows = execute(url, _VERSION)
    return str(rows[0][0]) if rows else ""


def coordinator_url() -> str | None:
    """Return the URL of the Postgres of the tests if it is the coordinator of a cluster."""
    url = os.environ.get(TEST_DATABASE_VARIABLE)
    return url if url and version(url) else None


def kinds_of_statements() -> list[str]:
    """Return the kinds of statements that this run of the tests can have.

    Those for distributed tables run on any Postgres, and on Citus.
    """
    if coordinator_url():
        return [ON_CITUS]
    return [DISTRIBUTED] if TEST_DISTRIBUTED_VARIABLE in os.environ else [ONE_MACHINE, DISTRIBUTED]


_ORDINARY: set[str] = set()


@contextmanager
def ordinary(url: str) -> Iterator[None]:
    """Let no test of the block take a database for a distributed one, unless the environment asks for it.

    The services of several tests open connections at any time, also during such a test.
    """
    name = str(conninfo_to_dict(url)["dbname"])
    if TEST_DISTRIBUTED_VARIABLE not in os.environ:
        _ORDINARY.add(name)
    yield
    _ORDINARY.discard(name)


def take_for_distributed(patch: pytest.MonkeyPatch) -> None:
    """Take databases for distributed ones, to try the statements for distributed tables without Citus."""

    async def say_so(connection: Connection, *_: object) -> bool:
        return connection.info.dbname not in _ORDINARY

    patch.setattr(recognition, "is_distributed", say_so)
    patch.setattr(recognition, "run_on_nodes", say_so)


class CitusDatabases:
    """Databases of a cluster whose coordinator a URL names. A worker is reached with the URL's user."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.nodes = [Node(*row) for row in execute(url, _NODES)]  # type: ignore[arg-type]
        """The coordinator, then the workers."""
        self._free: dict[str, list[tuple[object, ...]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._free:
            self._drop(name)

    @contextmanager
    def empty(self, worker_ports: Sequence[int] = ()) -> Iterator[str]:
        """Yield the URL of a database with all nodes and without a schema.

        Args:
            worker_ports: Ports of this machine, in the order of the workers, through which the nodes reach
                the workers; by default they reach them directly.
        """
        name = new_name()
        try:
            self._create(name, worker_ports)
            yield self._named(name)
        finally:
            self._drop(name)

    @contextmanager
    def distributed(self, worker_ports: Sequence[int] = ()) -> Iterator[str]:
        """Yield the URL of a new database with distributed tables; the ports are those of ``empty``."""
        with self.empty(worker_ports) as url:
            distribute(url)
            yield url

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of a database with distributed tables and without rows."""
        name, changes = self._free.popitem() if self._free else self._make()
        url = self._named(name)
        try:
            yield url
        finally:
            _empty(url)
            if execute(url, _CHANGES) == changes:
                self._free[name] = changes
            else:
                self._drop(name)

    @contextmanager
    def filled(self, fill: Callable[[str], None]) -> Iterator[str]:
        """Yield the URL of a new database with the rows that a function inserts."""
        with self.distributed() as url:
            fill(url)
            yield url

    def urls(self, url: str) -> list[str]:
        """Return the URLs of a database on the coordinator and on the workers, past all proxies."""
        return [make_conninfo(url, host=node.host, port=node.port) for node in self.nodes]

    def _make(self) -> tuple[str, list[tuple[object, ...]]]:
        name = new_name()
        self._create(name, ())
        distribute(self._named(name))
        return name, execute(self._named(name), _CHANGES)

    def _create(self, name: str, worker_ports: Sequence[int]) -> None:
        for url in self.urls(self._url):
            execute(url, sql.SQL("create database {} template template0").format(sql.Identifier(name)))
            execute(make_conninfo(url, dbname=name), "create extension citus")
        execute(self._named(name), *self._joins(worker_ports))

    def _joins(self, worker_ports: Sequence[int]) -> Iterator[str]:
        coordinator, *workers = self.nodes
        yield f"select citus_set_coordinator_host('{coordinator.host}', {coordinator.port})"
        yield (
            f"select citus_set_node_property('{coordinator.host}', {coordinator.port},"
            f" 'shouldhaveshards', {coordinator.has_shards})"
        )
        for worker, port in zip_longest(workers, worker_ports):
            host, reached = ("127.0.0.1", port) if port else worker[:2]
            yield f"select citus_add_node('{host}', {reached})"

    def _drop(self, name: str) -> None:
        for url in self.urls(self._url):
            drop(url, name)

    def _named(self, name: str) -> str:
        return make_conninfo(self._url, dbname=name)


def distribute(url: str) -> None:
    """Make distributed tables, and store the settings for the workers, as `migrate --distribute` does."""
    migrations.upgrade(url, distribute=True)
    store_settings(url, distributed=True)


def _empty(url: str) -> None:
    """End what a test has left under way on any node, and delete all rows, faster than by truncating."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_END_OTHERS)
        connection.execute("select run_command_on_workers(%s)", [_END_OTHERS])
        with connection.transaction():
            for table in metadata.tables:
                connection.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))
