"""Store the settings of the service's role in its database, in place of settings of each session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg
from psycopg import sql

from sessionhistory_server.store.postgres import citus
from sessionhistory_server.store.postgres.connect import open_plain, settings

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection


_STORED: Final = """
select setconfig from pg_db_role_setting
where setrole = (select oid from pg_roles where rolname = {})
  and setdatabase = (select oid from pg_database where datname = {})
"""
# A node that does not answer is left out. Check names it.
_STORED_ON_NODES: Final = """
select case when result = '' then '{{}}' else result::text[] end
from run_command_on_all_nodes({}, give_warning_for_connection_errors => true) where success
"""


class DatabaseRole(NamedTuple):
    """The role and the database that the service uses."""

    name: str
    database: str

    def statement(self, setting: str, value: str) -> str:
        """Return the SQL that stores a setting. Citus also stores it on the workers."""
        text = sql.SQL("alter role {} in database {} set {} = {}")
        names = (sql.Identifier(name) for name in (*self, setting))
        return text.format(*names, sql.Literal(value)).as_string(None)


async def store(url: str, direct_url: str) -> list[str]:
    """Store the settings for the role that the service uses, on every node if the sessions are distributed.

    Args:
        url: The URL to serve from, which may lead through a pooler. The role and the database are read there,
            because a pooler may give them other names.
        direct_url: A URL of the same database that leads past the pooler.

    Returns:
        The SQL statements that another role must run, if this one may not; empty if all settings are stored.

    Raises:
        psycopg.Error: a database cannot be reached.
    """
    role = await _role(url)
    connection = await open_plain(direct_url)
    try:
        is_distributed = await citus.is_distributed(connection)
        stored = await _stored(connection, role, is_distributed=is_distributed)
        wanted = settings(distributed=is_distributed).items()
        statements = [role.statement(*item) for item in wanted if "=".join(item) not in stored]
        return [] if await _run(connection, statements) else statements
    finally:
        await connection.close()


async def _stored(connection: Connection, role: DatabaseRole, *, is_distributed: bool) -> set[str]:
    """Return the settings that every node has stored, each as ``name=value``."""
    query = sql.SQL(_STORED).format(*map(sql.Literal, role))
    if is_distributed:
        query = sql.SQL(_STORED_ON_NODES).format(query.as_string(connection))
    found = [set(row[0]) for row in await (await connection.execute(query)).fetchall()]
    return set.intersection(*found) if found else set()


async def _role(url: str) -> DatabaseRole:
    connection = await open_plain(url)
    try:
        # The connection is closed with an open transaction. The pooler then drops this session, which lacks
        # the settings.
        await connection.execute("begin")
        row = await (await connection.execute("select session_user, current_database()")).fetchone()
    finally:
        await connection.close()
    assert row is not None  # noqa: S101 - a select without a table returns one row
    return DatabaseRole(*row)


async def _run(connection: Connection, statements: list[str]) -> bool:
    """Run all statements or none; return ``False`` if this role may not run them."""
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
