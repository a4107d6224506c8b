"""`session-history migrate`, `check` and `health`, and the errors of any command."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

import sessionhistory_migrations as migrations
from sessionhistory_cli.commands import cli
from support.databases import execute
from support.processes import Server, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

_SECRET = "s3cr3t"
_NOBODY = "127.0.0.1:1"
_BAD_URLS = [
    f"postgresql://u:{_SECRET}/x@{_NOBODY}/d",
    f"postgresql://u:1234/{_SECRET}@{_NOBODY}/d",
    f"postgresql://u:p@{_SECRET}/x@{_NOBODY}/d",
    f"postgresql://u:p@{_SECRET}@{_NOBODY}/d",
    f"postgresql://u:{_SECRET}@{_NOBODY}/d?nonsense=1",
    f"postgresql//u:{_SECRET}@{_NOBODY}/d",
    f"mysql://u:{_SECRET}@{_NOBODY}/d",
    f"host=127.0.0.1 password={_SECRET} port",
    f"postgresql://u:{_SECRET}%zz@{_NOBODY}/d",
]


@pytest.fixture
def nowhere() -> str:
    """A URL with a password, of a database that does not answer."""
    return f"postgresql://u:{_SECRET}@{_NOBODY}/d"


@pytest.fixture
def unreachable(nowhere: str) -> Iterator[Server]:
    """A server that waits for its database and logs at debug level."""
    server = Server("--database-url", nowhere, "--log-level", "debug")
    yield server
    server.clean()


def _error(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of an error; there must be no traceback and no other output."""
    assert "Traceback" not in result.stderr
    assert not result.stdout
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("Error: "))
    assert result.stderr.endswith(f"{line}\n")
    return line


def _told(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the lines of a report by their labels."""
    return {line[:18].strip(): line[18:].strip() for line in result.stdout.splitlines()}


def test_migrate_twice(empty_database_url: str) -> None:
    """The first run reports both revisions, and the second that there is nothing to do."""
    first = run("migrate", "--database-url", empty_database_url)
    assert (first.returncode, first.stdout) == (0, f"schema none → {migrations.head()}\n")
    second = run("migrate", variables={"SESSION_HISTORY_DATABASE_URL": empty_database_url})
    assert (second.returncode, second.stdout) == (0, f"schema {migrations.head()}: nothing to do\n")


def test_migrate_for_programs(empty_database_url: str) -> None:
    """One JSON object has the revisions before and after; the first run has none before."""
    for before in (None, migrations.head()):
        done = run("migrate", "--json", "--database-url", empty_database_url)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == {"before": before, "after": migrations.head()}


def test_distribute_without_citus(empty_database_url: str) -> None:
    """The error names the extension and the statements to run, and nothing is migrated."""
    result = run("migrate", "--distribute", "--database-url", empty_database_url)
    assert result.returncode == 1
    assert "Citus is not installed in this database: run `create extension citus`" in _error(result)
    assert migrations.current(empty_database_url) is None


def test_migrate_builds_an_invalid_index_again(database_url: str) -> None:
    """A run on the newest schema finds the index, and says so once."""
    execute(
        database_url,
        "update pg_index set indisvalid = false where indexrelid = 'messages_by_id'::regclass",
    )
    first = run("migrate", "--database-url", database_url)
    assert (first.returncode, first.stdout) == (0, "invalid indexes built again: messages_by_id\n")
    second = run("migrate", "--json", "--database-url", database_url)
    assert json.loads(second.stdout) == {"before": migrations.head(), "after": migrations.head()}


def test_migrate_without_the_right_to(database_url: str) -> None:
    """A refusal of Postgres is printed in one line."""
    role = f"reader_{secrets.token_hex(4)}"
    execute(database_url, f"create role {role} login", "update alembic_version set version_num = '0001'")
    try:
        result = run("migrate", "--database-url", make_conninfo(database_url, user=role))
    finally:
        execute(database_url, f"drop role {role}")
    assert result.returncode == 1
    assert "cannot use the database: permission denied" in _error(result)


def test_check_a_ready_database(database_url: str) -> None:
    """The report is text, or JSON with --json, with exit code 0."""
    text = run("check", "--database-url", database_url)
    assert text.returncode == 0, text.stderr
    assert _told(text)["ready"] == "yes"
    found = run("check", "--json", "--database-url", database_url)
    assert found.returncode == 0
    report = json.loads(found.stdout)
    assert report["ready"] is True
    assert report["schema"] == report["newest_schema"] == migrations.head()
    assert execute(database_url, "show server_version")[0][0].startswith(report["postgres"])  # type: ignore[attr-defined]


def test_check_a_database_that_is_not_migrated(empty_database_url: str) -> None:
    """The exit code is 1, and the report names the command; it does not call the schema too old."""
    text = run("check", "--database-url", empty_database_url)
    assert text.returncode == 1
    assert _told(text)["ready"] == "no"
    assert _told(text)["state"] == "no schema yet: run `session-history migrate`"
    found = run("check", "--json", "--database-url", empty_database_url)
    assert found.returncode == 1
    report = json.loads(found.stdout)
    assert (report["ready"], report["schema"]) == (False, "none")
    assert report["state"] == _told(text)["state"]


@pytest.mark.parametrize("command", ["migrate", "check"])
def test_a_url_is_needed(command: str) -> None:
    """Without a URL the commands for databases name the flag and the variable to set."""
    result = run(command)
    assert result.returncode == 2
    line = _error(result)
    assert "--database-url" in line
    assert "SESSION_HISTORY_DATABASE_URL" in line


@pytest.mark.parametrize("command", ["migrate", "check"])
def test_a_database_that_does_not_answer(command: str, nowhere: str) -> None:
    """The error is one line without the password, and the exit code is 1."""
    result = run(command, "--database-url", nowhere)
    assert result.returncode == 1, result.stderr
    assert "cannot use the database" in _error(result)
    assert _SECRET not in result.stderr


@pytest.mark.parametrize("command", ["migrate", "check"])
@pytest.mark.parametrize("url", _BAD_URLS)
def test_a_url_that_makes_no_sense(command: str, url: str) -> None:
    """The error is one line with flag and variable and nothing of the URL; the exit code is 2."""
    result = CliRunner().invoke(cli, [command, "--database-url", url])
    assert result.exit_code == 2, result.output
    _assert_refused(result.stderr)


@pytest.mark.parametrize("url", _BAD_URLS[:2])
def test_a_url_that_makes_no_sense_to_a_server(url: str) -> None:
    """A server refuses such a URL in the same way, and logs nothing of it."""
    ports = ("--listen", "127.0.0.1:0", "--metrics-listen", "off")
    result = run("serve", *ports, variables={"SESSION_HISTORY_DATABASE_URL": url})
    assert result.returncode == 2, result.stderr
    _error(result)
    _assert_refused(result.stderr)


def _assert_refused(said: str) -> None:
    assert "--database-url (SESSION_HISTORY_DATABASE_URL) is no valid libpq URL" in said.splitlines()[-1]
    assert _SECRET not in said


def test_a_server_without_its_database_tells_no_secret(unreachable: Server) -> None:
    """No log line at any level has the password, however often the connection fails."""
    unreachable.wait_for("database: cannot be used")
    assert run("health", "--server", unreachable.address()).stdout == "NOT_SERVING\n"
    found = run("health", "--json", "--server", unreachable.address())
    assert (found.returncode, json.loads(found.stdout)) == (
        1,
        {"status": "NOT_SERVING", "writes": "NOT_SERVING"},
    )
    unreachable.wait_for('"method": "grpc.health.v1.Health/Check"')
    assert _SECRET not in unreachable.log
    assert "loop" not in unreachable.log


@pytest.mark.parametrize(
    "variables",
    [
        {"SESSION_HISTORY_SERVER": _NOBODY},
        {"SESSION_HISTORY_LISTEN": _NOBODY},
        {"SESSION_HISTORY_LISTEN": "0.0.0.0:1"},
        {"SESSION_HISTORY_SERVER": _NOBODY, "SESSION_HISTORY_LISTEN": "127.0.0.1:2"},
    ],
)
def test_health_finds_its_server(variables: dict[str, str]) -> None:
    """Health uses the variable of client commands, or else the address that the server listens on."""
    assert _error(run("health", variables=variables)).startswith(f"Error: no answer from {_NOBODY} (")


def test_health_of_nobody() -> None:
    """Without a server health says so within seconds, with exit code 1."""
    result = run("health", "--server", _NOBODY)
    assert result.returncode == 1
    assert _error(result) == (
        f"Error: no answer from {_NOBODY} (UNAVAILABLE): start a server with `session-history serve`,"
        " or name it with --server"
    )


@pytest.mark.parametrize(
    ("command", "flag", "text"),
    [
        ("migrate", "--database-url", "Required."),
        ("check", "--database-url", "Required."),
        ("health", "--server", "SESSION_HISTORY_LISTEN"),
    ],
)
def test_help_says_what_a_flag_means_to_the_command(command: str, flag: str, text: str) -> None:
    """The help of a setting in another command describes how that command uses it."""
    shown = run(command, "--help").stdout.partition(f"{flag} ")[2].partition("--json")[0]
    assert text in shown
    assert "Absent" not in shown
    assert "Where to serve" not in shown


def test_a_server_logs_for_programs(nowhere: str) -> None:
    """`serve --json` logs JSON lines, whichever format is set."""
    server = Server("--database-url", nowhere, "--log-format", "console", "--json")
    try:
        server.wait_for("database: cannot be used")
        assert server.events
    finally:
        server.clean()


def test_a_server_warns_of_variables_that_it_does_not_know(nowhere: str) -> None:
    """Each unknown variable is logged with the closest setting, and without its value.

    The value may be a secret.
    """
    unknown = {"SESSION_HISTORY_POOLSIZE": "3", "SESSION_HISTORY_XYZZY": _SECRET}
    server = Server("--database-url", nowhere, **unknown, SESSION_HISTORY_SERVER="127.0.0.1:1")
    try:
        server.address()
        warnings = [event["event"] for event in server.events if event["level"] == "warning"]
    finally:
        server.clean()
    assert warnings == [
        "ignoring SESSION_HISTORY_POOLSIZE: did you mean SESSION_HISTORY_POOL_SIZE?",
        "ignoring SESSION_HISTORY_XYZZY: no such setting",
    ]
    assert _SECRET not in server.log


def test_the_version() -> None:
    """`--version` prints the release."""
    assert run("--version").stdout.startswith("session-history, version ")
