"""Limit the waits of a migration, on the workers of Citus as well."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from psycopg import sql

from sessionhistory_migrations import _citus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_migrations._citus import Driver

LOCK_TIMEOUT_SECONDS: Final = 10
"""How long a step waits for the lock of a table. Then it gives up, so that others can use the table."""

INDEX_WAIT_SECONDS: Final = 600
"""How long the build of an index waits for older transactions. Others can use the table meanwhile."""

OTHER_MIGRATION_SECONDS: Final = 600
"""How long a migration waits for another one to end."""

_PROPAGATE: Final = "set local citus.propagate_set_commands = 'local'"

_STORED: Final = """
select split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
from pg_db_role_setting cross join unnest(setconfig) as stored (setting)
where setrole = current_user::regrole
  and setdatabase = (select oid from pg_database where datname = current_database())
"""
# A worker would change the other nodes, too, and two workers would wait for each other.
_SET_FOR_ROLE: Final = sql.SQL(
    "set citus.enable_alter_role_set_propagation = off; alter role current_user in database {} set {} = {}"
)
_ON_WORKERS: Final = "select from run_command_on_workers(%s)"


def limit_session(connection: Driver) -> None:
    """Limit each wait for a lock, and no statement: the role may have a timeout for the service's."""
    connection.execute(sql.SQL("set lock_timeout = {}").format(_millis(LOCK_TIMEOUT_SECONDS)))
    connection.execute("set statement_timeout = 0")


def limit_transaction(connection: Driver) -> None:
    """Limit the waits of this transaction, also on the workers of Citus. A session's setting stays here."""
    if _citus.has_extension(connection):
        connection.execute(_PROPAGATE)
        connection.execute("set local statement_timeout = 0")
    connection.execute(sql.SQL("set local lock_timeout = {}").format(_millis(LOCK_TIMEOUT_SECONDS)))


@contextmanager
def unhurried(connection: Driver) -> Iterator[None]:
    """Let the statements of a block, outside transactions, wait for ``INDEX_WAIT_SECONDS``."""
    wait = _millis(INDEX_WAIT_SECONDS)
    connection.execute(sql.SQL("set lock_timeout = {}").format(wait))
    try:
        with _unhurried_workers(connection, wait) if _citus.is_distributed(connection) else nullcontext():
            yield
    finally:
        if not connection.closed:
            limit_session(connection)


@contextmanager
def _unhurried_workers(connection: Driver, wait: int) -> Iterator[None]:
    """Change settings of this role on the workers until the end of the block.

    A statement outside a transaction has no other settings there. Afterwards the workers have those of the
    coordinator again. If the run ends before that, the next ``session-history migrate`` stores them.
    """
    connection.execute("set citus.max_cached_conns_per_worker = 0")  # an open one keeps the old settings
    limits = {"lock_timeout": wait, "statement_timeout": 0}
    try:
        for name, value in limits.items():
            _set_on_workers(connection, name, sql.Literal(value))
        yield
    finally:
        if not connection.closed:
            stored: dict[str, str] = dict(connection.execute(_STORED).fetchall())
            for name in limits:
                before = sql.Literal(stored[name]) if name in stored else sql.SQL("default")
                _set_on_workers(connection, name, before)


def _set_on_workers(connection: Driver, name: str, value: sql.Composable) -> None:
    database = sql.Identifier(connection.info.dbname)
    statement = _SET_FOR_ROLE.format(database, sql.Identifier(name), value)
    connection.execute(_ON_WORKERS, [statement.as_string(connection)])


def _millis(seconds: float) -> int:
    return int(seconds * 1_000)
