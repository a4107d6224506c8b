"""The reasons that a server logs if it cannot use its database; they never contain a secret."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sessionhistory_server import embedded
from support.databases import execute
from support.processes import Server, run
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECRET = "s3cr3t"
_NOBODY = "127.0.0.1:1"
_SAID = "database: cannot be used: "
_HINT = " (see `session-history check`)"

# Every role except the owner needs a password.
_HBA = "local all session_history trust\nlocal all all scram-sha-256\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The parameters of a database that asks for passwords, which no role has."""
    folder = tmp_path_factory.mktemp("guarded")
    with embedded.running(folder / "data") as url:
        (folder / "data" / "postgres" / "pg_hba.conf").write_text(_HBA)
        execute(url, "select pg_reload_conf()")
        rules = "select string_agg(auth_method, ' ') from pg_hba_file_rules"
        eventually(lambda: execute(url, rules) == [("trust scram-sha-256",)])
        yield {name: str(value) for name, value in conninfo_to_dict(url).items()}


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """The name of a role that may open up to four connections, and has no other right."""
    name = f"guest_{secrets.token_hex(4)}"
    execute(database_url, f"create role {name} login connection limit 4")
    yield name
    execute(database_url, f"drop owned by {name}", f"drop role {name}")


@pytest.fixture(params=["password", "database", "port", "name", "connect", "select"])
def trouble(
    request: pytest.FixtureRequest, guarded: dict[str, str], database_url: str, role: str
) -> tuple[str, str]:
    """The URL of a database that cannot be used, and the reason."""
    name = conninfo_to_dict(database_url)["dbname"]
    as_guest = make_conninfo(database_url, user=role)
    if request.param == "connect":
        execute(database_url, f'revoke connect on database "{name}" from public')
    troubles = {
        "password": (
            make_conninfo("", **guarded | {"user": "ada", "password": _SECRET}),
            'password authentication failed for user "ada"',
        ),
        "database": (make_conninfo(database_url, dbname="nope"), 'database "nope" does not exist'),
        "port": (f"postgresql://u:{_SECRET}@{_NOBODY}/d", "Connection refused"),
        "name": (f"postgresql://u:{_SECRET}@nobody.invalid/d", "failed to resolve host 'nobody.invalid'"),
        "connect": (as_guest, f'permission denied for database "{name}"'),
        "select": (as_guest, "permission denied for table alembic_version (SQLSTATE 42501)"),
    }
    return troubles[request.param]


@pytest.fixture(params=["URL", "service file", "PGPASSWORD", "as a name", "URL as a host"])
def hidden(
    request: pytest.FixtureRequest, guarded: dict[str, str], tmp_path: Path
) -> tuple[str, dict[str, str]]:
    """A URL and variables with a wrong password, each in another place."""
    host, database = quote(guarded["host"], safe=""), guarded["dbname"]
    match request.param:
        case "URL":
            return f"postgresql://ada:{_SECRET}@/{database}?host={host}", {}
        case "service file":
            named = guarded | {"user": "ada", "password": _SECRET}
        case "PGPASSWORD":
            return f"postgresql://ada@/{database}?host={host}", {"PGPASSWORD": _SECRET}
        case "as a name":
            return f"postgresql://{_SECRET}:{_SECRET}@/{database}?host={host}", {}
        case _:
            named = {"host": f"postgresql://ada:{_SECRET}@nobody.invalid/d"}
    file = tmp_path / "services.conf"
    file.write_text("\n".join(["[history]", *(f"{name}={value}" for name, value in named.items())]))
    return "postgresql:///?service=history", {"PGSERVICEFILE": str(file)}


def _reason(url: str, *flags: str, **variables: str) -> str:
    """Return the reason that a server on this database logs, once."""
    server = Server("--database-url", url, *flags, **variables)
    try:
        server.wait_for(_SAID)
    finally:
        server.clean()
    assert _SECRET not in server.log
    events = [str(event["event"]) for event in server.events]
    (said,) = [event.removeprefix(_SAID) for event in events if event.startswith(_SAID)]
    assert "pool" not in server.log
    return said


def test_the_log_says_why(trouble: tuple[str, str]) -> None:
    """The log has the same reason as `check`, and names that command."""
    url, why = trouble
    said = _reason(url)
    assert why in said
    assert said.endswith(_HINT)
    checked = run("check", "--database-url", url)
    assert checked.stderr == f"Error: cannot use the database: {said.removesuffix(_HINT)}\n"


def test_the_log_says_why_the_pool_cannot_be_filled(database_url: str, role: str) -> None:
    """The log has the database's message if it accepts only some of the connections."""
    execute(database_url, f"grant select on alembic_version to {role}")
    said = _reason(make_conninfo(database_url, user=role))
    assert f'too many connections for role "{role}"' in said


def test_a_reason_tells_no_secret(hidden: tuple[str, dict[str, str]]) -> None:
    """A password from any source is in no log line at any level, and not in the output of `check`."""
    url, variables = hidden
    said = _reason(url, "--log-level", "debug", **variables)
    checked = run("check", "--database-url", url, variables=variables).stderr
    assert _SECRET not in checked
    assert said.removesuffix(_HINT) in checked
    assert "password authentication failed for user" in said or "nobody.invalid" in said
