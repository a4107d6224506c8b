"""Rules for each step: it builds no index while writers wait, and rewrites no table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import sqlalchemy
from alembic import op
from migration_support import ROWS, revisions

import sessionhistory_migrations as migrations
from sessionhistory_migrations import _citus, _indexes
from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONCURRENT = re.compile(
    r"(?:create|drop) (?:unique )?index concurrently (?:if exists )?(\w+)", re.IGNORECASE
)

_TABLES = """
select relname, relfilenode from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'alembic_version'
"""
_INDEXES = """
select indexrelid::regclass::text, indrelid::regclass::text from pg_index
join pg_class on pg_class.oid = indrelid
where relnamespace = 'public'::regnamespace and relname <> 'alembic_version'
"""


class Schema(NamedTuple):
    """The tables, each with its file, and the indexes, each with its table."""

    tables: dict[Any, Any]
    indexes: dict[Any, Any]

    @classmethod
    def of(cls, url: str) -> Schema:
        """Return the schema of a database."""
        return cls(dict(execute(url, _TABLES)), dict(execute(url, _INDEXES)))  # type: ignore[arg-type]


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The statements that Alembic has run so far."""
    ran: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        ran.append(statement)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", record)
    yield ran
    sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", record)


def violations(url: str, ran: list[str]) -> list[str]:
    """Migrate an empty database step by step, with rows, and return the rules that a step breaks."""
    broken = []
    before = Schema({}, {})
    for revision in revisions():
        ran.clear()
        migrations.upgrade(url, revision)
        after = Schema.of(url)
        concurrent = {name for statement in ran for name in _CONCURRENT.findall(statement)}
        for name, table in before.indexes.items() ^ after.indexes.items():
            if table in before.tables and name not in concurrent:
                broken.append(f"{revision}: {name} is built or dropped while writers of {table} wait")
        if concurrent and after.tables.keys() - before.tables.keys():
            broken.append(f"{revision}: a new table is committed before the step ends")
        for table, file in before.tables.items():
            if after.tables.get(table) != file:
                broken.append(f"{revision}: {table} is rewritten")
        execute(url, ROWS[revision])
        before = after
    return broken


def test_no_step_blocks_writers(empty_database_url: str, statements: list[str]) -> None:
    """Indexes of tables that exist are built and dropped concurrently, and no table is rewritten."""
    assert violations(empty_database_url, statements) == []


def test_the_rules_find_a_step_that_blocks(
    empty_database_url: str, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that is built in the step's transaction breaks the rule."""
    monkeypatch.setattr(_indexes, "create_index", op.create_index)
    first, second = violations(empty_database_url, statements)
    assert first.startswith("0005: sessions_by_user_open_activity is built")
    assert second.startswith("0012: api_keys_by_certificate_name is built")


def test_every_table_is_distributed(database_url: str) -> None:
    """A database that is distributed has no table that stays on the coordinator alone."""
    others = set(_citus.REFERENCES) - {"alembic_version"}
    assert Schema.of(database_url).tables.keys() == set(_citus.TABLES) | others
