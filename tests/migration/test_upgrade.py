"""Running the migrations: on an empty database, with data, concurrently, and against locks."""

from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from catalog import describe
from migration_support import ROWS, revisions

import sessionhistory_migrations as migrations
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_migrations import _limits, _revision, _runner
from support.databases import execute
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from support.service import Service

_LOCK = f"select pg_advisory_xact_lock({_runner._LOCK_KEY})"  # noqa: SLF001 - the lock of every upgrade
_PATIENT = "-c statement_timeout=0 -c lock_timeout=0"
_TRYING = """
select pid from pg_stat_activity
where query like 'select pg_try_advisory_lock%' and datname = current_database()
"""
_WAITING_LONG = """
select pid from pg_stat_activity
where wait_event_type = 'Lock' and datname = current_database() and now() - query_start > interval '100 ms'
"""


@contextmanager
def locked(url: str, statement: LiteralString) -> Iterator[None]:
    """Hold the locks of a statement until the end of the block."""
    with psycopg.connect(url) as connection:
        connection.execute(statement)
        yield


def test_an_empty_database_is_brought_to_the_newest_revision(empty_database_url: str) -> None:
    """All migrations run on an empty database."""
    assert migrations.current(empty_database_url) is None
    migrations.upgrade(empty_database_url)
    assert migrations.current(empty_database_url) == migrations.head() == revisions()[-1]


def test_a_migrated_database_is_left_as_it_is(database_url: str) -> None:
    """A second run changes nothing."""
    execute(database_url, ROWS["0001"], ROWS["0002"])
    before = execute(database_url, "select xmin, * from messages"), describe(database_url)
    migrations.upgrade(database_url)
    assert (execute(database_url, "select xmin, * from messages"), describe(database_url)) == before


def test_a_migrated_database_is_known_without_alembic(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that has nothing to do does not import Alembic, which would take longer than the check."""
    monkeypatch.setitem(sys.modules, "sessionhistory_migrations._runner", None)
    migrations.upgrade(database_url)


async def test_what_each_revision_stored_is_readable_in_the_end(
    empty_database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """Rows from before a migration are there after it, and the service can read them."""
    for revision in revisions():
        migrations.upgrade(empty_database_url, revision)
        execute(empty_database_url, ROWS[revision])
    service = await serve(empty_database_url)
    session = (await service.stub.GetSession(pb.GetSessionRequest(session_id="old"))).session
    assert (session.title, session.user_id, session.labels["colour"]) == ("old times", "u", "red")
    assert session.token_counter == "characters"
    window = (await service.stub.GetHistory(pb.GetHistoryRequest(session_id="old"))).history
    assert [message.content for message in window.messages] == ["one", "two"]
    request = pb.AppendMessageRequest(session_id="old", message={"role": "ROLE_USER", "content": "three"})
    assert (await service.stub.AppendMessage(request)).last_sequence == 3
    assert session.state_version == 0
    patched = (await service.stub.GetSession(pb.GetSessionRequest(session_id="patched"))).session
    assert (patched.state, patched.state_version) == ('{"a": 1.0}', 7)
    listed = (await service.stub.ListSessions(pb.ListSessionsRequest(user_id="u"))).sessions
    assert [found.session_id for found in listed] == ["old", "ended"]
    active = await service.stub.GetActiveSession(pb.GetActiveSessionRequest(user_id="u"))
    assert active.session.session_id == "old"
    filtered = pb.ListSessionsRequest(application_id="an-application")
    (thoughtful,) = (await service.stub.ListSessions(filtered)).sessions
    assert (thoughtful.session_id, thoughtful.application_id) == ("thoughtful", "an-application")
    request = pb.ListMessagesRequest(session_id="thoughtful")
    (message,) = (await service.stub.ListMessages(request)).messages
    assert list(message.parts) == [mpb.Part(reasoning={"text": "Hm.", "signature": "AbC="})]
    assert message.finish_reason == "stop"


def test_every_revision_has_rows_to_migrate() -> None:
    """Each revision has rows for the test above."""
    assert list(ROWS) == revisions()


def test_upgrades_at_once_run_one_after_the_other(empty_database_url: str) -> None:
    """Concurrent starts of one program may migrate the same database: each finds it migrated."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrations.upgrade, [empty_database_url] * 4))
    assert migrations.current(empty_database_url) == migrations.head()


def test_upgrades_of_two_programs_run_one_after_the_other(empty_database_url: str) -> None:
    """Two programs that migrate the same database concurrently do not fail."""
    command = [sys.executable, "-m", "sessionhistory_cli", "migrate", "--database-url", empty_database_url]
    with locked(empty_database_url, _LOCK):
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        eventually(lambda: len(execute(empty_database_url, _TRYING)) == 2)
    said = sorted(process.communicate()[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert said == [f"schema {migrations.head()}: nothing to do", f"schema none → {migrations.head()}"]


def test_the_timeouts_of_the_role_do_not_end_a_run(empty_database_url: str) -> None:
    """A role's timeouts, which it has for the service behind a pooler, do not end a migration."""
    migrations.upgrade(empty_database_url, "0001")
    user, name = execute(empty_database_url, "select current_user, current_database()")[0]
    timeouts = ("lock_timeout", "statement_timeout")
    execute(empty_database_url, *(f"alter role {user} in database {name} set {t} = 50" for t in timeouts))
    with ThreadPoolExecutor(1) as thread, psycopg.connect(empty_database_url, options=_PATIENT) as other:
        other.execute("lock alembic_version in share mode")
        run = thread.submit(migrations.upgrade, empty_database_url)
        eventually(lambda: run.done() or execute(empty_database_url, _WAITING_LONG))
        other.rollback()
        run.result()
    assert migrations.current(empty_database_url) == migrations.head()


def test_a_database_of_a_later_release_is_left_alone(database_url: str) -> None:
    """An older program finds an unknown revision, and changes nothing."""
    execute(database_url, "update alembic_version set version_num = '9999'", "drop table messages")
    migrations.upgrade(database_url)
    assert migrations.current(database_url) == "9999"
    assert not execute(database_url, "select 1 from pg_class where relname = 'messages'")


def test_a_table_in_use_stops_a_step_with_nothing_done(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that does not get its lock in time is undone as a whole, and can be run again."""
    migrations.upgrade(empty_database_url, "0001")
    before = describe(empty_database_url)
    with monkeypatch.context() as patch, locked(empty_database_url, "lock alembic_version in share mode"):
        patch.setattr(_limits, "LOCK_TIMEOUT_SECONDS", 0.01)
        with pytest.raises(migrations.LockTimeoutError):
            migrations.upgrade(empty_database_url)
    assert describe(empty_database_url) == before
    assert migrations.current(empty_database_url) == "0001"
    migrations.upgrade(empty_database_url)
    assert migrations.current(empty_database_url) == migrations.head()


def test_a_migration_that_does_not_end_stops_the_next_one(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second migration waits for a while, and then fails with an error that names the first one."""
    monkeypatch.setattr(_limits, "OTHER_MIGRATION_SECONDS", 0.01)
    with locked(empty_database_url, _LOCK), pytest.raises(migrations.LockTimeoutError, match="another"):
        migrations.upgrade(empty_database_url)
    assert migrations.current(empty_database_url) is None


def test_the_revision_is_not_waited_for_without_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the revision's table is locked, reading it fails after a while."""
    monkeypatch.setattr(_revision, "_LIMIT", "set local statement_timeout = '10ms'")
    exclusively = "lock alembic_version in access exclusive mode"
    with locked(database_url, exclusively), pytest.raises(psycopg.errors.QueryCanceled):
        migrations.current(database_url)


def test_a_step_that_fails_does_not_keep_others_out(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the migrations ends with the run that held it, however the run ended."""
    migrations.upgrade(empty_database_url, "0001")
    with monkeypatch.context() as patch, locked(empty_database_url, "lock alembic_version in share mode"):
        patch.setattr(_limits, "LOCK_TIMEOUT_SECONDS", 0.01)
        with pytest.raises(migrations.LockTimeoutError):
            migrations.upgrade(empty_database_url)
    execute(empty_database_url, "set lock_timeout = '10s'", _LOCK)


def test_a_run_says_which_steps_it_takes_and_no_more(
    empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of Alembic's log lines a run shows only the steps."""
    with caplog.at_level(logging.INFO):
        migrations.upgrade(empty_database_url)
        migrations.upgrade(empty_database_url)
        migrations.current(empty_database_url)
    assert [record.getMessage().partition(" ->")[0] for record in caplog.records] == [
        f"Running upgrade {before}" for before in ("", *revisions()[:-1])
    ]
