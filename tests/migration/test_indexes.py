"""Indexes are built while others write, and an index of a build that was cut is built again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from catalog import describe
from migration_support import ROWS

import sessionhistory_migrations as migrations
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_migrations import _limits
from support.databases import execute
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from concurrent.futures import Future

    from sessionhistory_migrations import Migrated
    from support.service import Service

_INDEX = "sessions_by_user_open_activity"

_BUILDING = """
select pid from pg_stat_activity
where datname = current_database() and query ~* 'index concurrently' and wait_event = 'virtualxid'
"""
_TRYING = """
select pid from pg_stat_activity
where datname = current_database() and query like 'select pg_try_advisory_lock%'
"""
_INVALID = "select indexrelid::regclass::text from pg_index where not indisvalid order by 1"
_LISTED = """
explain select from sessions
where tenant_id = 'default' and user_id = 'u' and coalesce(status = 'ACTIVE' and delete_time is null, false)
order by active_time
"""


@contextmanager
def old_transaction(url: str) -> Iterator[psycopg.Connection]:
    """Hold a snapshot, for whose end a concurrent build waits, until the end of the block or a commit."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("select 1")
        yield connection


@contextmanager
def building(url: str) -> Iterator[Future[Migrated]]:
    """Run a migration, whose build waits for an old transaction until the end of the block."""
    with ThreadPoolExecutor(1) as thread, old_transaction(url):
        run = thread.submit(migrations.upgrade, url)
        eventually(lambda: run.done() or execute(url, _BUILDING))
        yield run


def cut(url: str, statement: LiteralString, *, by: LiteralString = "pg_cancel_backend") -> None:
    """Run a statement that builds an index, and end it before it has finished."""
    with ThreadPoolExecutor(1) as thread, old_transaction(url):
        run = thread.submit(execute, url, statement)
        eventually(lambda: run.done() or execute(url, _BUILDING))
        execute(url, f"select {by}(pid) from ({_BUILDING}) as building")
        with pytest.raises(psycopg.OperationalError):
            run.result()


@pytest.fixture
def older_url(empty_database_url: str) -> str:
    """A database before the migration that builds an index, with rows."""
    migrations.upgrade(empty_database_url, "0004")
    execute(empty_database_url, ROWS["0001"], ROWS["0002"])
    return empty_database_url


def test_a_step_that_builds_an_index_blocks_no_writer(older_url: str) -> None:
    """Sessions are inserted, updated and deleted while the build waits for an old transaction."""
    with building(older_url) as run:
        execute(
            older_url,
            "set lock_timeout = '5s'",
            ROWS["0003"],
            "update sessions set title = 'new' where session_id = 'old'",
            "delete from sessions where session_id = 'counted'",
        )
        assert not run.done()
    assert run.result().after == migrations.head()
    assert execute(older_url, "select title from sessions") == [("new",)]


async def test_appends_go_on_during_a_repair(
    database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """A server appends while `migrate` builds an invalid index again, and the index is unique as before."""
    service = await serve(database_url)
    before = describe(database_url)
    execute(database_url, "drop index messages_by_id")
    cut(
        database_url,
        "create unique index concurrently messages_by_id on messages (session_key, message_id)",
    )
    with building(database_url) as run:
        request = pb.AppendMessageRequest(
            session_id="s", message={"role": "ROLE_USER", "content": "one"}, new_session={}
        )
        assert (await service.stub.AppendMessage(request)).last_sequence == 1
        assert not run.done()
    assert run.result().rebuilt == ["messages_by_id"]
    assert describe(database_url) == before


@pytest.mark.parametrize("by", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_step_that_was_cut_runs_again(older_url: str, by: LiteralString) -> None:
    """Its index is invalid; the next run builds it again, goes on, and plans use it."""
    with building(older_url) as run:
        execute(older_url, f"select {by}(pid) from ({_BUILDING}) as building")
        with pytest.raises(psycopg.OperationalError):
            run.result()
    assert execute(older_url, _INVALID) == [(_INDEX,)]
    done = migrations.upgrade(older_url)
    assert (done.after, done.rebuilt) == (migrations.head(), [_INDEX])
    assert execute(older_url, _INVALID) == []
    plan = execute(older_url, "set enable_seqscan = off", "set enable_sort = off", _LISTED)
    assert any(_INDEX in str(line) for line in plan)


def test_a_repair_that_was_cut_runs_again(older_url: str) -> None:
    """The index keeps its name until another one replaces it, so the next run finds it again."""
    before = describe(older_url)
    rebuild = "reindex index concurrently sessions_by_activity"
    execute(older_url, "drop index sessions_by_activity")
    cut(
        older_url,
        "create index concurrently sessions_by_activity on sessions (tenant_id, active_time, session_key)",
    )
    with building(older_url) as run:
        execute(older_url, f"select pg_terminate_backend(pid) from ({_BUILDING}) as building")
        with pytest.raises(psycopg.OperationalError):
            run.result()
    cut(older_url, rebuild)
    assert [str(name) for (name,) in execute(older_url, _INVALID)] == [
        "sessions_by_activity",
        "sessions_by_activity_ccnew",
        "sessions_by_activity_ccnew1",
    ]
    assert migrations.upgrade(older_url, "0004").rebuilt == ["sessions_by_activity"]
    assert describe(older_url) == before


def test_leftovers_of_a_newest_database_are_dropped(database_url: str) -> None:
    """A run with nothing else to do drops the index that a cut `reindex concurrently` has left."""
    before = describe(database_url)
    cut(database_url, "reindex index concurrently sessions_pkey", by="pg_terminate_backend")
    assert describe(database_url) != before
    assert migrations.upgrade(database_url).rebuilt == []
    assert describe(database_url) == before


def test_a_build_does_not_wait_without_end(older_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that does not end stops the run with an error that says so; the next run goes on."""
    with old_transaction(older_url), monkeypatch.context() as patch:
        patch.setattr(_limits, "INDEX_WAIT_SECONDS", 0.01)
        with pytest.raises(migrations.LockTimeoutError, match="long transaction"):
            migrations.upgrade(older_url)
    assert migrations.current(older_url) == "0004"
    assert migrations.upgrade(older_url).rebuilt == [_INDEX]


def test_a_run_that_waits_does_not_stop_a_build(older_url: str) -> None:
    """A build waits for all older statements, so a second run waits for the first one in no statement."""
    with ThreadPoolExecutor(1) as thread, building(older_url) as first:
        second = thread.submit(migrations.upgrade, older_url)
        eventually(lambda: second.done() or execute(older_url, _TRYING))
        assert not second.done()
    assert first.result().after == second.result().before == migrations.head()
