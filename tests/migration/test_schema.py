"""The migrations lead to the schema that the store uses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from catalog import describe
from migration_support import revisions, scripts

from sessionhistory_server.store.schema import metadata
from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect with SQLAlchemy until the end of the block."""
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def differences(url: str) -> list[object]:
    """Return the changes that Alembic would make to a database."""
    with connected(url) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))


def test_the_migrations_lead_to_the_metadata(database_url: str) -> None:
    """Alembic finds nothing to change in a migrated database."""
    assert differences(database_url) == []


@pytest.mark.parametrize(
    "change",
    [
        "drop index messages_pinned",
        "alter table sessions alter column labels drop default",
        "alter table sessions alter column title type varchar(10)",
        "alter table sessions add column extra text",
        "comment on column sessions.state is 'another'",
    ],
)
def test_the_comparison_finds_a_difference(database_url: str, change: str) -> None:
    """The comparison finds a column that differs."""
    execute(database_url, change)
    assert differences(database_url)


def test_the_migrations_lead_to_what_the_metadata_creates(database_url: str, empty_database_url: str) -> None:
    """Postgres describes a migrated database exactly as one that is created from the metadata."""
    with connected(empty_database_url) as connection:
        metadata.create_all(connection)
    migrated, created = describe(database_url), describe(empty_database_url)
    assert migrated == created
    assert migrated["tables"]
    assert migrated["others"] == []


def test_every_key_begins_with_the_session(database_url: str) -> None:
    """Primary and unique keys begin with session_key, so that a cluster can be distributed by it."""
    query = """
        select pg_get_indexdef(indexrelid) from pg_index
        where indisunique
          and indrelid in ('sessions'::regclass, 'messages'::regclass, 'summaries'::regclass)
    """
    keys = [str(definition) for (definition,) in execute(database_url, query)]
    assert len(keys) == 4
    assert all("(session_key" in key for key in keys)


def test_migrations_go_forwards_only() -> None:
    """The revisions are one sequence, and none can be undone."""
    assert [script.down_revision for script in scripts()] == [None, *revisions()[:-1]]
    assert not any(hasattr(script.module, "downgrade") for script in scripts())
