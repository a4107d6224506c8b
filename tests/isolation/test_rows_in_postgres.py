"""The rows that Postgres itself reads, with those that a condition drops.

The key of a session contains the tenant, and not the user: within a tenant, Postgres finds the one row of
another user's session by its key, and drops it. Calls that create a session are not here, because their
statements cannot be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from named_fields import KEY, SESSION, named_fields
from two_parties import KINDS, seen, things
from valid_requests import other_ways

from support.plans import explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from named_fields import NamedField
    from party import Party
    from watching import Watcher

    from conftest import Parties
    from support.plans import Statement

pytestmark = pytest.mark.one_machine("it explains statements with their values")

_TABLES = ("sessions", "messages", "summaries", "api_keys")
_CASES = [
    pytest.param(field, kind, id=f"{field} {kind}")
    for field in named_fields()
    for kind in ("another tenant's", "another user's")
    if field.noun in {SESSION, KEY} and not field.creates
]


@pytest.mark.parametrize(("field", "kind"), _CASES)
async def test_postgres_reads_at_most_the_row_that_a_key_names(
    parties: Parties, watcher: Watcher, kind: str, field: NamedField
) -> None:
    """No row of another tenant's session, one row of another user's, and never a message of either."""
    owner, stranger = await parties(kind)
    for changes in ({}, *other_ways(field)):
        made = await things(owner, field)
        await seen(watcher, stranger, field, made.theirs, changes)
        theirs = [_rows(owner, statement) for statement in watcher.statements]
        await seen(watcher, stranger, field, made.missing, changes)
        missing = [_rows(owner, statement) for statement in watcher.statements]
        for more, less in zip(theirs, missing, strict=True):
            assert _difference(more, less) in _allowed(field, kind), (changes, more, less)


def _rows(owner: Party, statement: Statement) -> list[int]:
    """Return the rows that a statement reads from each table; what it writes is undone."""
    with psycopg.connect(owner.database_url) as connection, connection.transaction(force_rollback=True):
        plan = explained(connection, statement)
    return [plan.rows(table) for table in _TABLES]


def _difference(more: Sequence[int], less: Sequence[int]) -> tuple[int, ...]:
    return tuple(one - other for one, other in zip(more, less, strict=True))


def _allowed(field: NamedField, kind: str) -> set[tuple[int, ...]]:
    """Return the differences of the tables that are allowed for a statement."""
    none = (0, 0, 0, 0)
    if field.noun == KEY:
        return {none, (0, 0, 0, 1)}
    return {none, (1, 0, 0, 0)} if KINDS[kind].is_within_tenant else {none}
