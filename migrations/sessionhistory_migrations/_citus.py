"""Distribute the tables over the nodes of Citus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from sessionhistory_migrations._errors import CitusError

if TYPE_CHECKING:
    from psycopg import Connection

    Driver = Connection[tuple[Any, ...]]

TABLES: Final = ("sessions", "messages", "summaries")
"""The tables with rows of sessions, which are distributed by the session. The first one is created first."""

_KEY: Final = "session_key"

REFERENCES: Final = (
    *("alembic_version", "api_keys", "credential_state", "refused_tokens", "signing_keys"),
    *("limits", "tenant_usage", "user_usage", "usage_recounts"),
)
"""The tables that every node has, so that a server finds them on the node to which it connects."""

_EXISTS: Final = "select to_regclass(%s) is not null"
_HAS_EXTENSION: Final = "select from pg_extension where extname = 'citus'"
_IS_WORKER: Final = "select from pg_dist_local_group where groupid <> 0"
_HAS_NODES: Final = "select from pg_dist_node"
_IS_DISTRIBUTED: Final = "select from pg_dist_partition where logicalrelid = to_regclass(%s)"
_DISTRIBUTE: Final = "select create_distributed_table(%s, %s, colocate_with => %s)"
_REFER: Final = "select create_reference_table(%s)"

# The rows as they were before the distribution. The coordinator's table has no page if it never had a row.
_HAS_LOCAL_ROWS: Final = "select from pg_class where oid = to_regclass(%s) and pg_relation_size(oid) > 0"
_REMOVE_LOCAL_ROWS: Final = "select truncate_local_data_after_distributing_table(%s)"


def exists(connection: Driver, name: str) -> bool:
    """Return whether a table or an index exists."""
    return connection.execute(_EXISTS, [name]).fetchone() == (True,)


def has_extension(connection: Driver) -> bool:
    """Return whether Citus is installed in the database."""
    return bool(connection.execute(_HAS_EXTENSION).rowcount)


def require_coordinator(connection: Driver, *, with_nodes: bool) -> None:
    """Require that the database is no worker of Citus.

    Args:
        connection: The database.
        with_nodes: Whether it also has to be the coordinator of a cluster.

    Raises:
        CitusError: it is a worker, or it has no Citus or no nodes and ``with_nodes`` is true.
    """
    nodes = "citus_set_coordinator_host and citus_add_node on the coordinator, then run this again"
    if not has_extension(connection):
        if with_nodes:
            extension = (
                "Citus is not installed in this database: run `create extension citus` in it on every node"
            )
            raise CitusError(f"{extension}, and {nodes}")
    elif connection.execute(_IS_WORKER).rowcount:
        raise CitusError("this is a worker of Citus: give a URL of its coordinator")
    elif with_nodes and not connection.execute(_HAS_NODES).rowcount:
        raise CitusError(f"Citus knows no nodes in this database: run {nodes}")


def is_distributed(connection: Driver, table: str = TABLES[0]) -> bool:
    """Return whether Citus has distributed a table, which may be missing."""
    return has_extension(connection) and bool(connection.execute(_IS_DISTRIBUTED, [table]).rowcount)


def distribute(connection: Driver) -> list[str]:
    """Distribute the local tables, with their rows, in this transaction; return their names.

    Until its end, reads go on and writes wait. ``create_distributed_table_concurrently`` blocks no writes,
    but it moves one table at a time, and no append works in between. It cannot colocate a local table either.
    """
    local = [table for table in TABLES if exists(connection, table) and not is_distributed(connection, table)]
    if local:
        names = sql.SQL(", ").join(map(sql.Identifier, local))
        connection.execute(sql.SQL("lock table {} in exclusive mode").format(names))
    for table in local:
        # Alone if it is the first one, so that tables of other programs do not have to move with it.
        neighbours = [other for other in TABLES if is_distributed(connection, other)]
        connection.execute(_DISTRIBUTE, [table, _KEY, (*neighbours, "none")[0]])
    for table in REFERENCES:
        if exists(connection, table) and not is_distributed(connection, table):
            connection.execute(_REFER, [table])
    return local


def remove_local_rows(connection: Driver) -> None:
    """Free the space of the rows that a distribution has copied to the shards. Nothing can read them."""
    for table in (*TABLES, *REFERENCES):
        if is_distributed(connection, table) and connection.execute(_HAS_LOCAL_ROWS, [table]).rowcount:
            connection.execute(_REMOVE_LOCAL_ROWS, [table])
