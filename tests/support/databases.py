"""Create and drop the databases of tests."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.sql import Composable


@contextmanager
def database(postgres_url: str, template: str) -> Iterator[tuple[str, str]]:
    """Clone a database; yield the clone's name and connection string; drop it in spite of connections."""
    name = f"test_{secrets.token_hex(6)}"
    execute(
        postgres_url, sql.SQL("create database {} template {}").format(*map(sql.Identifier, (name, template)))
    )
    try:
        yield name, make_conninfo(postgres_url, dbname=name)
    finally:
        execute(postgres_url, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def execute(url: str, *statements: str | Composable) -> list[tuple[object, ...]]:
    """Run statements, each in a transaction of its own; return the rows of the last."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
