"""The rules for a statement on a database that Citus distributes by ``session_key``.

A statement is parsed from its text, as Postgres prepares it. Each rule returns a sentence for each place
where a statement breaks it. A level of a statement is a select, an insert, an update or a delete, without
those inside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlglot import exp, parse_one

from sessionhistory_server.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

Rule = Callable[[exp.Expression], list[str]]

TABLES: Final = frozenset(metadata.tables)
KEY: Final = "session_key"

_WRITES: Final = (exp.Insert, exp.Update, exp.Delete)
_LEVELS: Final = (exp.Select, *_WRITES)
_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In)
_VOLATILE: Final = frozenset({"clock_timestamp", "timeofday", "random", "gen_random_uuid", "nextval"})


class Access(NamedTuple):
    """A read or a write of a table at one level of a statement."""

    table: str
    write: str
    """``INSERT``, ``UPDATE`` or ``DELETE`` if the level writes this table; empty: it reads the table."""
    parameters: frozenset[int]
    """The numbers of the parameters that the table's ``session_key`` equals; an insert's, in every row."""


def parse(text: str) -> exp.Expression:
    """Return a statement's tree.

    Raises:
        sqlglot.errors.ParseError: the parser does not know the form of the statement.
    """
    tree = parse_one(text, dialect="postgres")
    assert not tree.find(exp.Command), f"the parser does not know the form of this statement: {text}"
    return tree


def accesses(tree: exp.Expression) -> list[Access]:
    """Return the reads and writes of distributed tables, and the writes of any other table."""
    found = [_access(table) for table in tree.find_all(exp.Table)]
    return [access for access in found if access.write or access.table in TABLES]


def without_key(tree: exp.Expression) -> list[str]:
    """Find tables whose ``session_key`` does not equal a parameter at the level that reads or writes them."""
    return [
        f"{one.write or 'a read'} of {one.table} without {KEY} = a parameter at its own level"
        for one in accesses(tree)
        if not one.parameters
    ]


def refused_everywhere(tree: exp.Expression) -> list[str]:
    """Find the parts of a statement on all machines that Citus refuses, or that would lock all sessions."""
    if not without_key(tree):
        return []
    parts = tree.find_all(exp.Lateral, exp.Lock, *_WRITES)
    return [f"{part.key} in a statement on all machines" for part in parts]


def batches(tree: exp.Expression) -> list[str]:
    """Find comparisons of a ``session_key`` with several keys: an array, a query, rows of a function."""
    return [
        f"{comparison.sql('postgres')} compares {KEY} with more than one key"
        for comparison in tree.find_all(*_COMPARISONS)
        if _is_batch(comparison)
    ]


def unstable_choices(tree: exp.Expression) -> list[str]:
    """Find times of now, and sums with intervals, inside CASE and COALESCE of an update or a delete.

    Neither has one value for the same arguments, in Postgres' terms, so Citus refuses them. Within a
    sub-select, as in ``(select now())``, Citus accepts now(). Volatile functions it accepts nowhere.
    """
    found: list[str] = []
    for level in tree.find_all(exp.Update, exp.Delete):
        own = [node for node in level.walk() if _level(node) is level]
        found += [f"{node.sql('postgres')} in an update or a delete" for node in own if _is_volatile(node)]
        found += [
            f"{node.sql('postgres')} inside CASE or COALESCE of an update or a delete"
            for node in own
            if _is_unstable(node) and _level(node.find_ancestor(exp.Case, exp.Coalesce)) is level
        ]
    return found


def not_appending(tree: exp.Expression) -> list[str]:
    """Find writes that are not part of an append in two statements.

    Citus runs a statement that writes two tables on all machines. If an insert takes its rows from a
    function, a violated unique key comes with another SQLSTATE.
    """
    found = []
    for write in tree.find_all(exp.Insert, exp.Update):
        table = write.find(exp.Table)
        if write.find_ancestor(exp.CTE):
            found.append(f"{write.key} of {table} in a common table expression")
        if isinstance(write, exp.Insert) and not isinstance(write.expression, exp.Values):
            found.append(f"insert into {table} from a query, not of values")
    return found


def _access(table: exp.Table) -> Access:
    level = _level(table)
    assert level is not None
    target = level.this.this if isinstance(level.this, exp.Schema) else level.this
    write = level.key.upper() if isinstance(level, _WRITES) and target is table else ""
    find = _inserted if write == "INSERT" else _equal
    return Access(table.name, write, frozenset(find(level, table)))


def _equal(level: exp.Expression, table: exp.Table) -> Iterator[int]:
    """Yield the parameters that a table's key equals: by a condition of the level, or of the table's join."""
    alone = sum(_level(each) is level for each in level.find_all(exp.Table) if each.name in TABLES) == 1
    names = {table.alias_or_name, ""} if alone else {table.alias_or_name}
    for condition in _conditions(level, table):
        if isinstance(condition, exp.EQ) and _is_key(condition.this) and condition.this.table in names:
            yield from filter(None, [_parameter(condition.expression)])


def _conditions(level: exp.Expression, table: exp.Table) -> Iterator[exp.Expression]:
    """Yield the conditions that hold for each row of the table that the level reads."""
    if where := level.args.get("where"):
        yield from _conjuncts(where.this)
    for join in level.find_all(exp.Join):
        inner = not join.side or (join.side == "LEFT" and join.this is table)
        if _level(join) is level and inner and (condition := join.args.get("on")):
            yield from _conjuncts(condition)


def _conjuncts(condition: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(condition := condition.unnest(), exp.And):
        for part in (condition.this, condition.expression):
            yield from _conjuncts(part)
    else:
        yield condition


def _inserted(level: exp.Expression, _: exp.Table) -> Iterator[int]:
    """Yield the parameter that is the key in every row of an insert."""
    columns = [column.name for column in level.this.expressions]
    source = level.expression
    is_values = isinstance(source, exp.Values)
    rows = [row.expressions for row in source.expressions] if is_values else [source.selects]
    numbers = {_parameter(row[columns.index(KEY)]) if KEY in columns else 0 for row in rows}
    if len(numbers) == 1:
        yield from filter(None, numbers)


def _level(node: exp.Expression | None) -> exp.Expression | None:
    return node.find_ancestor(*_LEVELS) if node else None


def _is_batch(comparison: exp.Expression) -> bool:
    if isinstance(comparison, exp.In):
        return any(map(_is_key, comparison.this.find_all(exp.Column)))
    sides = comparison.this, comparison.expression
    return any(map(_is_key, sides)) and not all(_is_key(side) or _parameter(side) for side in sides)


def _is_key(node: exp.Expression) -> bool:
    return isinstance(node, exp.Column) and node.name == KEY


def _parameter(node: exp.Expression) -> int:
    """Return the number of a parameter, with or without a cast; 0: this is something else."""
    if isinstance(node, exp.Cast):
        node = node.this
    return int(node.name) if isinstance(node, exp.Parameter) else 0


def _is_volatile(node: exp.Expression) -> bool:
    return isinstance(node, exp.Func) and node.sql("postgres").partition("(")[0].lower() in _VOLATILE


def _is_unstable(node: exp.Expression) -> bool:
    is_interval = isinstance(node, exp.DataType) and node.is_type("interval")
    return is_interval or isinstance(node, (exp.CurrentTimestamp, exp.Interval))
