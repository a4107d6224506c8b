"""Record the statements that the store sends, and read their query plans."""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from psycopg import AsyncClientCursor, ClientCursor
from psycopg.conninfo import conninfo_to_dict

from sessionhistory_server.store.postgres import connection as connections
from sessionhistory_server.store.postgres.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    import pytest

_PARAMETER = re.compile(r"%\((\w+)\)s")
# Citus adds the number of a shard to the name of a table or an index.
_SHARD = re.compile(r"_\d{6}$")
_SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan")


class Statement(NamedTuple):
    """A statement with its parameters, as the store sent it."""

    text: str
    parameters: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The parameters' names in the order of $1, $2, …."""
        return list(dict.fromkeys(_PARAMETER.findall(self.text)))

    @property
    def prepared_text(self) -> str:
        """The text that Postgres prepared."""
        numbers = {name: f"${number}" for number, name in enumerate(self.names, start=1)}
        return _PARAMETER.sub(lambda found: numbers[found[1]], self.text)


class Recorder:
    """The statements sent since the start, and the connection that sent them."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.connection: Connection | None = None

    def take(self) -> list[Statement]:
        """Return the statements since the last call, each text once."""
        taken, self.statements = self.statements, []
        return list({statement.text: statement for statement in taken}.values())


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[Recorder]:
    """Record the statements that ``Connection.fetch`` sends to a database: all of the store's.

    All of them stay prepared.
    """
    recorder = Recorder()
    name = conninfo_to_dict(url)["dbname"]
    send = Connection.fetch

    async def fetch(connection: Connection, query: Any, parameters: Any, **options: Any) -> Any:
        if connection.info.dbname == name:
            recorder.connection = connection
            recorder.statements.append(Statement(str(query), dict(parameters)))
        return await send(connection, query, parameters, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "fetch", fetch)
        patch.setattr(connections, "_MAX_PREPARED", sys.maxsize)
        yield recorder


class Plan:
    """A node of a plan, with the plan below it.

    On Citus, the workers' plans are below the coordinator's, with the names of tables and indexes in place of
    those of shards. If several workers have tasks, the plan of one is there.
    """

    def __init__(self, node: dict[str, Any]) -> None:
        self.kind: str = node["Node Type"]
        self.table = _SHARD.sub("", node.get("Relation Name", "")) or None
        self.index = _SHARD.sub("", node.get("Index Name", "")) or None
        self.tasks: int = node.get("Distributed Query", {}).get("Job", {}).get("Task Count", 0)
        self.condition = "Index Cond" in node
        self.modifies = self.kind == "ModifyTable"
        self.children = [Plan(child) for child in _below(node)]
        loops = node.get("Actual Loops", 0)
        removed = sum(node.get(name, 0) for name in node if name.startswith("Rows Removed by"))
        self.rows_read = round(loops * (node.get("Actual Rows", 0) + removed)) if self.is_scan else 0

    @property
    def is_scan(self) -> bool:
        """Whether the node reads a table."""
        return self.kind in _SCANS

    def __iter__(self) -> Iterator[Self]:
        """Yield this node and all below it."""
        yield self
        for child in self.children:
            yield from child  # type: ignore[misc]

    @property
    def indexes(self) -> set[str]:
        """The indexes that are read."""
        return {node.index for node in self if node.index}

    @property
    def whole_tables(self) -> set[str]:
        """The tables that are read from end to end."""
        return {node.table or "" for node in self if node.kind == "Seq Scan"}

    @property
    def unbounded_sorts(self) -> int:
        """How many sorts take all rows of a table, without a limit in between."""
        return sum(child.reads_unbounded for node in self if "Sort" in node.kind for child in node.children)

    @property
    def reads_unbounded(self) -> bool:
        """Whether rows of a table leave this node without having passed a limit."""
        if self.kind == "Limit":
            return False
        return self.is_scan or any(child.reads_unbounded for child in self.children)

    def rows(self, table: str) -> int:
        """Return how many rows of tables were read, if the plan was executed."""
        return sum(node.rows_read for node in self if node.table == table)


def _below(part: object) -> Iterator[dict[str, Any]]:
    """Yield the nodes directly below a part of a plan."""
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for each in parts:
        if isinstance(each, dict) and "Node Type" in each:
            yield each
        else:
            yield from _below(each)


async def plan(
    connection: Connection, statement: Statement, *, execute: bool = False, prepared: bool = True
) -> Plan:
    """Return the plan of the statement as it was prepared on the connection.

    With ``execute`` the statement runs once more, with its parameters. If it is not ``prepared``, the plan is
    that of its text with values in place of the parameters.
    """
    cursor = AsyncClientCursor(connection)
    options = "analyze, costs off, timing off" if execute else "costs off"
    if not prepared or (execute and connection.is_distributed):
        # Citus says how many rows a prepared select has read, but as a text within the JSON.
        await cursor.execute(f"explain ({options}, format json) {statement.text}", statement.parameters)
    else:
        name = await _prepared_name(connection, statement)
        literals = [statement.parameters[parameter] for parameter in statement.names]
        arguments = f"({', '.join(['%s'] * len(literals))})" if literals else ""
        await cursor.execute(f"explain ({options}, format json) execute {name} {arguments}", literals)
    row = await cursor.fetchone()
    assert row
    found = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return Plan(found[0]["Plan"])


def explained(connection: psycopg.Connection[Any], statement: Statement) -> Plan:
    """Run a statement with its values, and return its plan, with the rows that it has read."""
    cursor = ClientCursor(connection)
    cursor.execute(
        f"explain (analyze, costs off, timing off, format json) {statement.text}", statement.parameters
    )
    ((found,),) = cursor.fetchall()
    return Plan(found[0]["Plan"])


async def _prepared_name(connection: Connection, statement: Statement) -> str:
    cursor = AsyncClientCursor(connection)
    query = "select name from pg_prepared_statements where statement = %s"
    await cursor.execute(query, [statement.prepared_text])
    row = await cursor.fetchone()
    assert row, f"never prepared: {statement.text}"
    return str(row[0])
