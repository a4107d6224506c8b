"""The commands recognise and refuse a pooler, and say how to continue."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import make_conninfo

import sessionhistory_migrations as migrations
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.store.postgres.connect import SETTINGS
from sessionhistory_server.store.postgres.role_settings import DatabaseRole
from support import pgbouncer
from support.databases import execute, store_settings
from support.processes import run
from support.readme import blocks, page

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from support.pgbouncer import PgBouncer
    from support.processes import Server

_MOVES = (
    "Error: cannot use the database: a pooler moves sessions between its clients: set --pooler transaction"
    " (SESSION_HISTORY_POOLER)"
)
_LACKS = "the role lacks settings in this database ("


def _error(result: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of an error, and require that there was one."""
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_refuses_to_start(moving_url: str, workers: str) -> None:
    """`serve` refuses it at once, with one line that names the setting."""
    result = run(
        "serve",
        *("--listen", "127.0.0.1:0", "--metrics-listen", "off", "--workers", workers),
        variables={"SESSION_HISTORY_DATABASE_URL": moving_url},
    )
    assert _error(result) == _MOVES
    assert "listening" not in result.stderr


@pytest.mark.parametrize("command", ["check", "recount"])
def test_a_command_refuses(moving_url: str, command: str) -> None:
    """`check` and `recount` refuse it, too."""
    assert _error(run(command, "--database-url", moving_url)) == _MOVES


@pytest.mark.parametrize("command", ["check", "recount"])
def test_a_command_with_the_setting(moving_url: str, database_url: str, command: str) -> None:
    """With `--pooler` the command needs the settings of the role, and then works."""
    arguments = (command, "--pooler", "transaction", "--database-url", moving_url)
    assert _LACKS in _error(run(*arguments))
    store_settings(database_url)
    result = run(*arguments)
    assert result.returncode == 0, result.stderr


def test_migrate_refuses(bouncer: PgBouncer, empty_database_url: str) -> None:
    """`migrate` names the setting for a direct URL, changes nothing, and works with that URL."""
    url = bouncer.url(empty_database_url)
    for arguments in ((), ("--pooler", "transaction"), ("--direct-database-url", url)):
        result = run("migrate", "--database-url", url, *arguments)
        assert "--direct-database-url (SESSION_HISTORY_DIRECT_DATABASE_URL)" in _error(result)
        assert migrations.current(empty_database_url) is None
    result = run("migrate", "--database-url", url, "--direct-database-url", empty_database_url)
    assert (result.returncode, result.stdout) == (0, f"schema none → {migrations.head()}\n")


def test_migrate_stores_the_settings(bouncer: PgBouncer, empty_database_url: str) -> None:
    """After `migrate` a pooled database is ready, even if the pooler had sessions; again it does nothing."""
    url = bouncer.url(empty_database_url)
    variables = {
        "SESSION_HISTORY_DATABASE_URL": url,
        "SESSION_HISTORY_DIRECT_DATABASE_URL": empty_database_url,
        "SESSION_HISTORY_POOLER": "transaction",
    }
    assert run("check", variables=variables).returncode == 1
    for before in (None, migrations.head()):
        result = run("migrate", "--json", variables=variables)
        assert (result.returncode, result.stderr) == (0, "")
        assert json.loads(result.stdout) == {"before": before, "after": migrations.head()}
    assert run("check", variables=variables).returncode == 0


def test_migrate_without_the_right_to_store_settings(postgres_url: str, empty_database_url: str) -> None:
    """For a role without the right, `migrate` prints the SQL; when another role has run it, all is done."""
    serving, migrating = (f"{kind}_{secrets.token_hex(4)}" for kind in ("serving", "migrating"))
    database = execute(empty_database_url, "select current_database()")[0][0]
    execute(
        empty_database_url,
        f"create role {serving} login",
        f"create role {migrating} login",
        f"grant all on schema public to {migrating}",
    )
    try:
        with pgbouncer.running(postgres_url, users=(serving,)) as bouncer:
            arguments = (
                "migrate",
                *("--pooler", "transaction"),
                *("--database-url", bouncer.url(make_conninfo(empty_database_url, user=serving))),
                *("--direct-database-url", make_conninfo(empty_database_url, user=migrating)),
            )
            refused = run(*arguments)
            assert refused.returncode == 1
            assert refused.stdout == f"schema none → {migrations.head()}\n"
            first, *statements = refused.stderr.splitlines()
            assert "run as one that may" in first
            beginning = f'alter role "{serving}" in database "{database}" set '
            assert all(statement.startswith(beginning) for statement in statements)
            execute(empty_database_url, *statements)
            allowed = run(*arguments)
            assert (allowed.returncode, allowed.stderr) == (0, "")
    finally:
        for role in (serving, migrating):
            execute(empty_database_url, f"drop owned by {role}", f"drop role {role}")


def test_the_page_shows_the_statements() -> None:
    """`docs/operations.md` shows the statements that `migrate` runs."""
    (shown,) = (block.text for block in blocks(page("docs/operations.md")) if block.kind == "sql")
    role = DatabaseRole("history", "history")
    run_by_migrate = [f"{role.statement(*item)};" for item in SETTINGS.items()]
    assert shown.splitlines() == [re.sub("[\"']", "", statement) for statement in run_by_migrate]


def test_sessions_that_stay_need_no_setting(
    start: Callable[..., Server], session_bouncer: PgBouncer, database_url: str
) -> None:
    """A server on a pooler in session mode serves without a setting."""
    server = start("--database-url", session_bouncer.url(database_url), "--workers", "1")
    server.stub().CreateSession(pb.CreateSessionRequest(session_id="s", session={}))
    assert execute(database_url, "select session_id from sessions") == [("s",)]


def test_a_server_waits_for_the_settings(
    start: Callable[..., Server], moving_url: str, database_url: str
) -> None:
    """Without the settings a server is NOT_SERVING and logs the remedy; once they are stored it serves."""
    server = start("--database-url", moving_url, "--pooler", "transaction", "--workers", "1")
    server.wait_for(_LACKS)
    store_settings(database_url)
    server.stub().CreateSession(pb.CreateSessionRequest(session_id="s", session={}))


@pytest.mark.parametrize("command", ["serve", "check", "migrate", "recount"])
def test_options_in_the_url(command: str) -> None:
    """A URL with `options=`, which PgBouncer refuses, is refused; the error says where they belong."""
    url = "postgresql://u:s3cr3t@127.0.0.1:1/d?options=-c%20jit%3Doff"
    result = run(command, "--pooler", "transaction", "--database-url", url)
    line = _error(result)
    assert result.returncode == 2
    assert "--database-url (SESSION_HISTORY_DATABASE_URL) has options=" in line
    assert "s3cr3t" not in result.stderr


def test_the_setting_is_for_a_database_by_url() -> None:
    """An embedded Postgres has no pooler."""
    result = run("serve", "--pooler", "transaction")
    assert result.returncode == 2
    assert _error(result) == "Error: --pooler (SESSION_HISTORY_POOLER) needs --database-url"
