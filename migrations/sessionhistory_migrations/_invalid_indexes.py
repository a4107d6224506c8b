"""Build the indexes again that a cut build has left invalid."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import sql

from sessionhistory_migrations import _citus
from sessionhistory_migrations._limits import limit_transaction, unhurried

if TYPE_CHECKING:
    from sessionhistory_migrations._citus import Driver

_INVALID: Final = """
select relname from pg_index join pg_class on pg_class.oid = indexrelid
where not indisvalid and indrelid in (select to_regclass(name) from unnest(%s::text[]) as tables (name))
order by relname
"""

_INVALID_OF_A_SHARD: Final = """
select coalesce(json_agg(relname), '[]') from pg_index join pg_class on pg_class.oid = indexrelid
where not indisvalid and indrelid = '%s'::regclass
"""
_INVALID_OF_SHARDS: Final = """
select shardid::text, name from run_command_on_shards(%s, %s)
cross join json_array_elements_text(case when success then result::json else '[]' end) as invalid (name)
order by name
"""

_LEFTOVER: Final = re.compile(r"_cc(new|old)[0-9]*$")
"""The end of the name that an index has while it is built again, here or by ``reindex concurrently``."""

_DEFINITION: Final = "select pg_get_indexdef(to_regclass(%s))"
_ON_ALL_NODES: Final = "select from run_command_on_all_nodes(%s)"


class Invalid(NamedTuple):
    """The names of invalid indexes: those to build again, and leftovers to drop, of tables and of shards."""

    broken: list[str]
    leftovers: list[str]
    shard_leftovers: list[str]


def find(connection: Driver) -> Invalid:
    """Return the invalid indexes of the tables, and of their shards if they are distributed.

    Citus marks its own index as valid after those of all shards. Only shards have leftovers after a
    ``reindex concurrently``.
    """
    names = [str(name) for (name,) in connection.execute(_INVALID, [list(_citus.TABLES)]).fetchall()]
    broken = {name for name in names if not _LEFTOVER.search(name)}
    shard_leftovers = []
    for shard, name in _of_shards(connection):
        index = name.removesuffix(f"_{shard}")
        if index == name or _LEFTOVER.search(index) or not _definition(connection, index):
            shard_leftovers.append(name)
        else:
            broken.add(index)
    return Invalid(sorted(broken), [name for name in names if name not in broken], shard_leftovers)


def rebuild(connection: Driver) -> list[str]:
    """Build the invalid indexes again, without blocking writers; return their names. Drop the leftovers.

    An index keeps its name until another one replaces it, so a run that is cut can be repeated. A statement
    ``reindex concurrently`` would need an index on each shard.
    """
    invalid = find(connection)
    if any(invalid):
        with unhurried(connection):
            for name in invalid.leftovers:
                connection.execute(_drop(name))
            for name in invalid.shard_leftovers:
                connection.execute(_ON_ALL_NODES, [_drop(name).as_string(connection)])
            for name in invalid.broken:
                _replace(connection, name)
    return invalid.broken


def _replace(connection: Driver, name: str) -> None:
    new = f"{name}_ccnew"
    if not _citus.exists(connection, new):  # the one that a cut run has built is valid
        connection.execute(_build(new, _definition(connection, name)))
    old, renamed = sql.Identifier(name), sql.Identifier(new)
    with connection.transaction():
        limit_transaction(connection)
        connection.execute(sql.SQL("drop index if exists {}").format(old))
        connection.execute(sql.SQL("alter index {} rename to {}").format(renamed, old))


def _of_shards(connection: Driver) -> list[tuple[str, str]]:
    """Return the invalid indexes of all shards, each with the number of its shard, which ends its name."""
    tables = [table for table in _citus.TABLES if _citus.is_distributed(connection, table)]
    return [
        (str(shard), str(name))
        for table in tables
        for shard, name in connection.execute(_INVALID_OF_SHARDS, [table, _INVALID_OF_A_SHARD])
    ]


def _definition(connection: Driver, name: str) -> str:
    """Return the statement that builds an index; empty if there is none of this name."""
    row = connection.execute(_DEFINITION, [name]).fetchone()
    return str(row[0] or "") if row else ""


def _build(name: str, definition: str) -> sql.Composed:
    beginning, _, rest = definition.partition(" ON ")
    kind = "unique index" if beginning.startswith("CREATE UNIQUE ") else "index"
    build = sql.SQL("create {} concurrently {} on ")
    return build.format(sql.SQL(kind), sql.Identifier(name)) + sql.SQL(rest)


def _drop(name: str) -> sql.Composed:
    return sql.SQL("drop index concurrently if exists {}").format(sql.Identifier(name))
