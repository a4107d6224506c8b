"""Read a page of rows in an order, limited by number and by bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory_server.store.postgres.connection import Connection, Row

_PAGE_COLUMNS = 4


async def fetch(
    connection: Connection,
    columns: LiteralString,
    size: LiteralString,
    rows: LiteralString,
    parameters: Mapping[str, Any],
    *,
    page_size: int,
    max_bytes: int,
) -> tuple[list[Row], bool]:
    """Fetch the first rows of a query: at most ``page_size`` rows and ``max_bytes`` bytes.

    The statement reads one more row than the page has, to find whether more follow.

    Args:
        connection: The connection.
        columns: The columns of a row, as SQL.
        size: The bytes of a row, as SQL.
        rows: The rest of the query: ``from``, ``where`` and ``order by``.
        parameters: The parameters of the query.
        page_size: The number of rows at most.
        max_bytes: The bytes of all rows together at most; a larger first row is returned alone.

    Returns:
        The rows, and whether there are more.
    """
    ordered = f"{statement(columns, size, rows)} order by page_row"
    limits = {"page_size": page_size, "max_bytes": max_bytes}
    return cut(await connection.fetch(ordered, {**parameters, **limits}, named=False))


def statement(columns: LiteralString, size: LiteralString, rows: LiteralString) -> LiteralString:
    """Return the statement of a page. The caller orders it by ``page_row`` and passes its rows to ``cut``."""
    return f"""
        select * from (
            select *, row_number() over () as page_row,
                sum(page_bytes) over (rows unbounded preceding) as page_bytes_through,
                count(*) over () as page_rows
            from (select {columns}, {size} as page_bytes {rows} limit %(page_size)s::bigint + 1) as found
        ) as measured
        where page_row = 1
            or page_row <= %(page_size)s::bigint and page_bytes_through <= %(max_bytes)s::bigint
    """


def cut(found: list[Row]) -> tuple[list[Row], bool]:
    """Return the rows of a page without the columns that ``statement`` added, and whether more follow."""
    return [row[:-_PAGE_COLUMNS] for row in found], bool(found) and found[-1][-1] > len(found)
