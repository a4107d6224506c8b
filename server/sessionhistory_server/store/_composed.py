"""Statements composed with SQLAlchemy, run by psycopg; and pages cut by rows and by bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement, ColumnElement, Select

    from sessionhistory_server.store.connection import Connection, Row

_DIALECT: Final = PGDialect_psycopg()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped


async def fetch_page(
    connection: Connection,
    statement: Select[Any],
    size: ColumnElement[int],
    page_size: int,
    max_bytes: int,
) -> tuple[list[Row], bool]:
    """Fetch the first rows of an ordered statement: at most ``page_size``, and not over ``max_bytes`` in all.

    The first row comes whatever its size. Reads one row more than the page, to know whether more follow.

    Returns:
        The rows, and whether there are more.
    """
    rows_wanted = statement.add_columns(size.label("page_bytes")).limit(page_size + 1).subquery()
    running = select(
        rows_wanted,
        func.row_number().over().label("page_row"),
        func.sum(rows_wanted.c.page_bytes).over(rows=(None, 0)).label("page_bytes_through"),
        func.count().over().label("page_rows"),
    ).subquery()
    page = select(running).where(
        (running.c.page_row == 1)
        | ((running.c.page_row <= page_size) & (running.c.page_bytes_through <= max_bytes))
    )
    rows = await (await execute(connection, page.order_by(running.c.page_row))).fetchall()
    return [row[:-4] for row in rows], bool(rows) and rows[-1][-1] > len(rows)


async def execute(connection: Connection, statement: ClauseElement) -> Any:  # noqa: ANN401 - a cursor
    """Run a statement composed with SQLAlchemy on psycopg's connection."""
    compiled = statement.compile(dialect=_DIALECT)
    return await connection.execute(str(compiled), compiled.params, binary=True, prepare=True)
