"""Databases for tests on one Postgres, each a clone of a template."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import sessionhistory_migrations as migrations
from sessionhistory_server.store.postgres.connect import settings
from sessionhistory_server.store.postgres.role_settings import DatabaseRole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Self

    from psycopg.sql import Composable

    Prepare = Callable[[str], None]

TEST_DATABASE_VARIABLE = "SESSION_HISTORY_TEST_DATABASE_URL"


class Databases(Protocol):
    """Makes databases. Each is its block's own."""

    def empty(self) -> AbstractContextManager[str]:
        """Yield the URL of a database without a schema."""

    def migrated(self) -> AbstractContextManager[str]:
        """Yield the URL of a database with the newest schema and without rows."""

    def filled(self, fill: Prepare) -> AbstractContextManager[str]:
        """Yield the URL of a database with the rows that a function inserts."""


class Clones:
    """Databases of one Postgres. They are dropped in spite of connections."""

    def __init__(self, postgres_url: str) -> None:
        self._url = postgres_url
        self._templates: dict[Prepare, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a database without a schema."""
        with self._clone("template0") as (_, url):
            yield url

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of a database with the newest schema and without rows."""
        with self._clone(self._template(migrations.upgrade, "template0")) as (_, url):
            yield url

    @contextmanager
    def filled(self, fill: Prepare) -> Iterator[str]:
        """Yield the URL of a database with the rows that a function inserts."""
        migrated = self._template(migrations.upgrade, "template0")
        with self._clone(self._template(fill, migrated)) as (_, url):
            yield url

    def _template(self, prepare: Prepare, source: str) -> str:
        """Return the name of a clone that a function has prepared, once a process."""
        if prepare not in self._templates:
            name, url = self._stack.enter_context(self._clone(source))
            prepare(url)
            self._templates[prepare] = name
        return self._templates[prepare]

    @contextmanager
    def _clone(self, template: str) -> Iterator[tuple[str, str]]:
        """Clone a database; yield the clone's name and URL."""
        name = new_name()
        # As files: through the write-ahead log a copy takes three times the CPU.
        create = sql.SQL("create database {} template {} strategy file_copy")
        execute(self._url, create.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield name, make_conninfo(self._url, dbname=name)
        finally:
            drop(self._url, name)


def new_name() -> str:
    """Return a name for a database that no other test process uses."""
    return f"test_{secrets.token_hex(6)}"


def drop(url: str, name: str) -> None:
    """Drop a database in spite of connections."""
    execute(url, sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def store_settings(url: str, *, distributed: bool = False) -> None:
    """Store the settings of sessions for the role of a URL, as `migrate` does for poolers and for Citus."""
    named = conninfo_to_dict(url)
    role = DatabaseRole(str(named["user"]), str(named["dbname"]))
    execute(url, *(role.statement(*item) for item in settings(distributed=distributed).items()))


def execute(url: str, *statements: str | Composable) -> list[tuple[object, ...]]:
    """Run statements, each in a transaction of its own; return the rows of the last."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
