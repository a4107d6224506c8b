"""`session-history migrate` and `check` on Citus: tables, settings and indexes on all nodes."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import sessionhistory_migrations as migrations
from sessionhistory_migrations import _citus, _revision
from sessionhistory_server.store.postgres.connect import settings
from support.databases import execute
from support.processes import run
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.citus import CitusDatabases

_SESSION = """
insert into sessions (session_key, tenant_id, session_id, status, message_count, total_tokens, last_sequence,
    unpinned_tokens, unpinned_bytes, pinned_count, revision, create_time, update_time, active_time)
select gen_random_uuid(), 'default', 's' || n, 'ACTIVE', 1, 10, 1, 10, 300, 0, 1, now(), now(), now()
from generate_series(1, 100) n
"""
_MESSAGE = """
insert into messages (session_key, sequence, message_id, role, content, pinned, status, token_count,
    create_time, size_bytes, tokens_through, bytes_through)
select session_key, 1, 'm', 'USER', session_id, false, 'COMPLETE', 10, now(), 300, 0, 0 from sessions
"""
_SUMMARY = """
insert into summaries (session_key, through_sequence, message_id, role, content, status, token_count,
    create_time, size_bytes, covered_count)
select session_key, 1, 'summary', 'SYSTEM', session_id, 'COMPLETE', 10, now(), 300, 1 from sessions
"""

_DISTRIBUTED = """
select logicalrelid::text from pg_dist_partition
where colocationid = (select colocationid from pg_dist_partition where logicalrelid = 'sessions'::regclass)
order by 1
"""
_LOCAL_PAGES = "select sum(pg_relation_size(logicalrelid)) from pg_dist_partition"
_STORED = """
select setting from pg_db_role_setting cross join unnest(setconfig) as stored (setting)
where setdatabase = (select oid from pg_database where datname = current_database())
"""
_INVALID = "select indexrelid::regclass::text from pg_index where not indisvalid order by 1"
_BUILDING = """
select pid from pg_stat_activity
where datname = current_database() and query ~* 'index concurrently' and wait_event = 'virtualxid'
"""
_TABLES = sorted(_citus.TABLES)


def run_json(url: str, *arguments: str) -> tuple[int, dict[str, object]]:
    """Run a command; return its exit code and its JSON."""
    done = run(*arguments, "--json", "--database-url", url)
    return done.returncode, json.loads(done.stdout)


def distributed(url: str) -> list[str]:
    """Return the tables that are distributed together with the sessions."""
    return [str(name) for (name,) in execute(url, _DISTRIBUTED)]


def rows(url: str) -> list[list[tuple[object, ...]]]:
    """Return all rows of all tables."""
    return [execute(url, f"select * from {table} order by session_key") for table in _citus.TABLES]


@pytest.fixture
def filled_url(empty_database_url: str) -> str:
    """A database with local tables and rows."""
    migrations.upgrade(empty_database_url)
    execute(empty_database_url, _SESSION, _MESSAGE, _SUMMARY)
    return empty_database_url


@contextmanager
def old_transaction(url: str) -> Iterator[None]:
    """Hold a snapshot, for which a concurrent build waits, until the end of the block."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("select 1")
        yield


def cut(url: str, worker: str, statement: LiteralString) -> None:
    """Run a statement that builds an index, and end it while it waits on a worker."""
    with ThreadPoolExecutor(1) as thread, old_transaction(worker):
        build = thread.submit(execute, url, statement)
        eventually(lambda: build.done() or execute(worker, _BUILDING))
        execute(
            url,
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid() and query ~* 'index concurrently'",
        )
        with pytest.raises(psycopg.OperationalError):
            build.result()


def test_an_empty_database_is_distributed_in_the_steps(empty_database_url: str) -> None:
    """After each step, all tables that exist are distributed together; a second run has nothing to do."""
    for revision in [path.name[:4] for path in sorted(_revision._VERSIONS.glob("0*.py"))]:  # noqa: SLF001
        done = migrations.upgrade(empty_database_url, revision, distribute=True)
        exist = [
            table for table in _TABLES if execute(empty_database_url, f"select to_regclass('{table}')")[0][0]
        ]
        assert distributed(empty_database_url) == exist
        assert done.is_distributed
    said = run("migrate", "--distribute", "--database-url", empty_database_url)
    assert (said.returncode, said.stdout) == (0, f"schema {migrations.head()}, distributed: nothing to do\n")


def test_one_command_for_an_empty_database(empty_database_url: str) -> None:
    """The result names the tables, and the database is ready."""
    head = migrations.head()
    code, result = run_json(empty_database_url, "migrate", "--distribute")
    assert (code, result) == (0, {"before": None, "after": head, "distributed": list(_citus.TABLES)})
    assert run_json(empty_database_url, "check")[1]["ready"] is True
    assert run_json(empty_database_url, "migrate") == (0, {"before": head, "after": head, "distributed": []})


def test_a_worker_is_refused(cluster: CitusDatabases, empty_database_url: str) -> None:
    """On a worker, `migrate` names the coordinator, and does nothing."""
    _, worker, _ = cluster.urls(empty_database_url)
    for arguments in ((), ("--distribute",)):
        refused = run("migrate", *arguments, "--database-url", worker)
        assert refused.returncode == 1
        assert refused.stderr == "Error: this is a worker of Citus: give a URL of its coordinator\n"
    assert migrations.current(worker) is None


def test_a_cluster_without_nodes_is_refused(empty_database_url: str) -> None:
    """Before nodes are added, `migrate --distribute` says how to add them, and does nothing."""
    remove = "select citus_remove_node(nodename, nodeport) from pg_dist_node order by groupid desc"
    execute(empty_database_url, remove)
    refused = run("migrate", "--distribute", "--database-url", empty_database_url)
    assert refused.returncode == 1
    assert "Citus knows no nodes in this database: run citus_set_coordinator_host and" in refused.stderr
    assert migrations.current(empty_database_url) is None


def test_rows_move(filled_url: str) -> None:
    """A database with rows stays local without the flag. With it, all rows are on shards, and only there."""
    before = rows(filled_url)
    assert run_json(filled_url, "migrate") == (0, {"before": migrations.head(), "after": migrations.head()})
    code, found = run_json(filled_url, "check")
    assert (code, found["ready"]) == (0, True)
    assert "`session-history migrate --distribute`" in str(found["citus"])
    code, result = run_json(filled_url, "migrate", "--distribute")
    assert (code, result["distributed"]) == (0, list(_citus.TABLES))
    assert (distributed(filled_url), rows(filled_url)) == (_TABLES, before)
    assert execute(filled_url, _LOCAL_PAGES) == [(0,)]


def test_a_later_release_distributes_its_new_tables(empty_database_url: str) -> None:
    """A database that was distributed by hand gets its next table distributed in the step that creates it."""
    migrations.upgrade(empty_database_url, "0006")
    execute(
        empty_database_url,
        "select create_distributed_table('sessions', 'session_key')",
        "select create_distributed_table('messages', 'session_key', colocate_with => 'sessions')",
    )
    assert migrations.upgrade(empty_database_url).distributed == ["summaries"]
    assert distributed(empty_database_url) == _TABLES


def test_a_distribution_that_is_cut(filled_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is distributed, or all; a second run does the rest, and no row is lost."""
    before = rows(filled_url)
    with psycopg.connect(filled_url) as other:
        other.execute("lock table summaries in row exclusive mode")
        monkeypatch.setattr("sessionhistory_migrations._limits.LOCK_TIMEOUT_SECONDS", 0.05)
        with pytest.raises(migrations.LockTimeoutError):
            migrations.upgrade(filled_url, distribute=True)
    monkeypatch.undo()
    assert execute(filled_url, "select from pg_dist_partition") == []

    def fail(_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(_citus, "remove_local_rows", fail)
    with pytest.raises(ConnectionError):
        migrations.upgrade(filled_url, distribute=True)
    monkeypatch.undo()
    assert (distributed(filled_url), rows(filled_url)) == (_TABLES, before)
    assert migrations.upgrade(filled_url).distributed == []
    assert (execute(filled_url, _LOCAL_PAGES), rows(filled_url)) == ([(0,)], before)


def test_the_settings_of_each_node(cluster: CitusDatabases, empty_database_url: str) -> None:
    """A run stores them on all nodes; `check` names a node that lacks one, and the next run stores it."""
    assert run("migrate", "--distribute", "--database-url", empty_database_url).returncode == 0
    wanted = {"=".join(item) for item in settings(distributed=True).items()}
    nodes = cluster.urls(empty_database_url)
    assert all({setting for (setting,) in execute(node, _STORED)} == wanted for node in nodes)
    user, name = (conninfo_to_dict(empty_database_url)[key] for key in ("user", "dbname"))
    execute(
        nodes[-1],
        "set citus.enable_alter_role_set_propagation = off",
        f'alter role "{user}" in database "{name}" reset lock_timeout',
    )
    code, found = run_json(empty_database_url, "check")
    assert (code, found["ready"]) == (1, False)
    for part in (str(cluster.nodes[-1].port), "lock_timeout", "run `session-history migrate`"):
        assert part in str(found["state"])
    assert run("migrate", "--database-url", empty_database_url).returncode == 0
    assert run_json(empty_database_url, "check")[0] == 0


def test_a_role_that_is_no_superuser(cluster: CitusDatabases, empty_database_url: str) -> None:
    """It distributes its tables and stores its settings; another role gets the statements to run."""
    owner, other = (f"{kind}_{secrets.token_hex(4)}" for kind in ("owner", "other"))
    nodes = cluster.urls(empty_database_url)
    execute(empty_database_url, f"create role {owner} login", f"create role {other} login")
    for node in nodes:
        execute(node, "set citus.enable_ddl_propagation = off", f"grant all on schema public to {owner}")
    own_url, other_url = (make_conninfo(empty_database_url, user=role) for role in (owner, other))
    try:
        assert run("migrate", "--distribute", "--database-url", own_url).returncode == 0
        assert run_json(own_url, "check")[0] == 0
        refused = run("migrate", "--database-url", other_url, "--direct-database-url", own_url)
        assert refused.returncode == 1
        first, *statements = refused.stderr.splitlines()
        assert "run as one that may" in first
        execute(empty_database_url, *statements)
        again = run("migrate", "--database-url", other_url, "--direct-database-url", own_url)
        assert again.returncode == 0, again.stderr
    finally:
        execute(empty_database_url, f"drop owned by {owner} cascade")
        for node in nodes:
            off = "set citus.enable_ddl_propagation = off"
            execute(node, off, f"drop owned by {owner} cascade", f"drop role {owner}, {other}")


def test_a_build_that_was_cut_on_shards(cluster: CitusDatabases, empty_database_url: str) -> None:
    """Some shards have an invalid index; the next run builds it again on all, also if that is cut again."""
    migrations.upgrade(empty_database_url, "0004", distribute=True)
    execute(empty_database_url, _SESSION)
    worker = cluster.urls(empty_database_url)[1]
    index = "sessions_by_user_open_activity"
    for _ in range(2):
        with ThreadPoolExecutor(1) as thread, old_transaction(worker):
            step = thread.submit(migrations.upgrade, empty_database_url)
            eventually(lambda step=step: step.done() or execute(worker, _BUILDING))  # type: ignore[misc]
            execute(worker, f"select pg_terminate_backend(pid) from ({_BUILDING}) as building")
            with pytest.raises(psycopg.Error):
                step.result()
    assert execute(worker, _INVALID)
    done = migrations.upgrade(empty_database_url)
    assert (done.after, done.rebuilt) == (migrations.head(), [index])
    assert [execute(url, _INVALID) for url in cluster.urls(empty_database_url)] == [[], [], []]
    assert migrations.upgrade(empty_database_url).rebuilt == []


def test_leftovers_of_shards(cluster: CitusDatabases, empty_database_url: str) -> None:
    """A run drops what a cut `reindex concurrently` has left, of which the coordinator knows nothing."""
    migrations.upgrade(empty_database_url, distribute=True)
    worker = cluster.urls(empty_database_url)[1]
    cut(empty_database_url, worker, "reindex index concurrently messages_by_id")
    eventually(lambda: not execute(worker, _BUILDING))
    assert execute(empty_database_url, _INVALID) == []
    assert execute(worker, _INVALID)
    assert migrations.upgrade(empty_database_url).rebuilt == []
    assert execute(worker, _INVALID) == []


def test_the_timeouts_of_the_role_do_not_end_a_build(
    cluster: CitusDatabases, empty_database_url: str
) -> None:
    """On the workers, a build waits longer than the statements of the service. They keep their timeouts."""
    migrations.upgrade(empty_database_url, "0004", distribute=True)
    user, name = (conninfo_to_dict(empty_database_url)[key] for key in ("user", "dbname"))
    timeouts = ("lock_timeout", "statement_timeout")
    execute(
        empty_database_url, *(f'alter role "{user}" in database "{name}" set {t} = 200' for t in timeouts)
    )
    worker = cluster.urls(empty_database_url)[1]
    long = f"{_BUILDING} and now() - query_start > interval '300 ms'"
    with ThreadPoolExecutor(1) as thread:
        with old_transaction(make_conninfo(worker, options="-c statement_timeout=0")):
            step = thread.submit(migrations.upgrade, empty_database_url)
            eventually(lambda: step.done() or execute(worker, long))
        assert step.result().after == migrations.head()
    assert {setting for (setting,) in execute(worker, _STORED)} == {f"{t}=200" for t in timeouts}
