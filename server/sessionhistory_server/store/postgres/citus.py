"""Recognise a database whose tables Citus has distributed over several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

# Without the extension there is no table pg_dist_partition.
_HAS_EXTENSION: Final = "select from pg_extension where extname = 'citus'"
_IS_DISTRIBUTED: Final = """
select from pg_dist_partition where logicalrelid = to_regclass('sessions') and partmethod = 'h'
"""

# A node without sessions may be away.
_RUN_ON_NODES: Final = """
select bool_and(success) from run_command_on_all_nodes(%(command)s::text)
where nodeid in (
    select nodeid from pg_dist_shard join pg_dist_placement using (shardid) join pg_dist_node using (groupid)
    where logicalrelid = to_regclass('sessions')
)
"""


async def is_installed(connection: Connection) -> bool:
    """Return whether the database has the extension.

    Raises:
        psycopg.Error: the connection is broken.
    """
    return bool((await connection.execute(_HAS_EXTENSION)).rowcount)


async def is_distributed(connection: Connection) -> bool:
    """Return whether the rows of sessions are distributed by their key.

    Raises:
        psycopg.Error: the connection is broken.
    """
    return await is_installed(connection) and bool((await connection.execute(_IS_DISTRIBUTED)).rowcount)


async def has_changed(connection: Connection) -> bool:
    """Return whether the sessions were distributed, or no longer are, since a connection was opened."""
    try:
        return await is_distributed(connection) != connection.is_distributed
    except psycopg.Error:
        return False


async def run_on_nodes(connection: Connection, command: str) -> bool:
    """Run a statement on each node that has sessions, in a session of its own; return whether all succeeded.

    Raises:
        psycopg.Error: the connection is broken.
    """
    return await (await connection.execute(_RUN_ON_NODES, {"command": command})).fetchone() == (True,)
