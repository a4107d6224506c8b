"""Pages of rows in an order, cut by their number and by their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory_server.store.connection import Connection, Row

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
    """Fetch the first rows of a query: at most ``page_size``, and not over ``max_bytes`` in all.

    The first row comes whatever its size. Reads one row more than the page, to know whether more follow.

    Args:
        connection: Where to.
        columns: What to fetch of each row.
        size: What a row takes, in bytes.
        rows: From where, under which conditions, in which order.
        parameters: Of all these.
        page_size: As said.
        max_bytes: As said.

    Returns:
        The rows, and whether there are more.
    """
    statement = f"""
        select * from (
            select *, row_number() over () as page_row,
                sum(page_bytes) over (rows unbounded preceding) as page_bytes_through,
                count(*) over () as page_rows
            from (select {columns}, {size} as page_bytes {rows} limit %(page_size)s::bigint + 1) as found
        ) as measured
        where page_row = 1
            or page_row <= %(page_size)s::bigint and page_bytes_through <= %(max_bytes)s::bigint
        order by page_row
    """
    limits = {"page_size": page_size, "max_bytes": max_bytes}
    found = await connection.fetch(statement, {**parameters, **limits})
    return [row[:-_PAGE_COLUMNS] for row in found], bool(found) and found[-1][-1] > len(found)
