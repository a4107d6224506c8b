"""Build and drop indexes of tables that have rows, without blocking their writers (ADR 52)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alembic import op

from sessionhistory_migrations import _citus
from sessionhistory_migrations._limits import unhurried

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import TextClause

    from sessionhistory_migrations._citus import Driver


def create_index(
    name: str,
    table: str,
    columns: Sequence[str | TextClause],
    *,
    unique: bool = False,
    postgresql_where: TextClause | None = None,
) -> None:
    """Build an index of a table, or of the rows for which a condition holds; do nothing if it exists.

    The build cannot run in a transaction: the step's transaction is committed before it, and a step that is
    cut is run again as a whole. So a step with a build does nothing that cannot be done twice.
    """
    with _outside_transaction() as connection:
        # Citus would mark an index that exists as invalid if the statement said "if not exists".
        if not _citus.exists(connection, name):
            op.create_index(
                name,
                table,
                columns,
                unique=unique,
                postgresql_where=postgresql_where,
                postgresql_concurrently=True,
            )


def drop_index(name: str, table: str) -> None:
    """Drop an index of a table in the same way; do nothing if it is missing."""
    with _outside_transaction():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


@contextmanager
def _outside_transaction() -> Iterator[Driver]:
    driver = op.get_bind().connection.driver_connection
    assert driver is not None  # noqa: S101 - the migration has just used it
    with op.get_context().autocommit_block(), unhurried(driver):
        yield driver
