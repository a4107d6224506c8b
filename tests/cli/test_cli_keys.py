"""`session-history keys`: by calls with a key, and in the database itself."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from sessionhistory import AsyncSessionHistoryClient, errors
from sessionhistory_cli.client.server_options import Server as Target
from sessionhistory_cli.commands import cli
from sessionhistory_cli.endpoint import Endpoint
from support.keys import make_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

KEY = re.compile(r"shk_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}\n")


async def _run(*arguments: str | Path, **variables: str) -> Result:
    words = [*map(str, arguments)]
    return await asyncio.to_thread(CliRunner().invoke, cli, words, env=variables)


async def _done(*arguments: str | Path, **variables: str) -> str:
    result = await _run(*arguments, **variables)
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_the_first_key_and_the_next_ones(serve: Serve, database_url: str) -> None:
    """The first key is made in the database, also while a server runs; it makes the others by calls."""
    service = await serve(database_url, auth=("keys",))
    here = ("--database-url", database_url)
    first = await _done("keys", "create", "--scope", "admin", "--scope", "write", *here)
    assert KEY.fullmatch(first)
    variables = {"SESSION_HISTORY_SERVER": service.address, "SESSION_HISTORY_API_KEY": first.strip()}
    fields = ("--name", "job", "--user", "ada", "--application", "app", "--require-user-id")
    made = json.loads(
        await _done("keys", "create", "--scope", "read", *fields, "--expires", "90d", "--json", **variables)
    )
    key = made["api_key"]
    assert (key["scopes"], key["user_id"], key["application_id"]) == (["read"], "ada", "app")
    assert (key["display_name"], key["require_user_id"]) == ("job", True)
    assert key["expire_time"]
    async with AsyncSessionHistoryClient(service.address, key=made["secret"]) as client:
        with pytest.raises(errors.SessionNotFoundError):
            await client.get_session("s")
    for where in (here, ()):
        listed = json.loads(await _done("keys", "list", "--json", *where, **variables))["api_keys"]
        assert [each["api_key_id"] for each in listed] == [key["api_key_id"], first[4:20]]
    lines = (await _done("keys", "list", **variables)).splitlines()
    assert lines[0].split("\t")[:5] == [key["api_key_id"], "job", "read", "ada", "app"]


@pytest.mark.parametrize("direct", [True, False])
async def test_rotate_and_revoke(serve: Serve, database_url: str, *, direct: bool) -> None:
    """The new secret is printed once; a revoked key is listed with --revoked only."""
    service = await serve(database_url, auth=("keys",))
    _, admin = await make_key(service)
    key_id, _ = await make_key(service)
    variables = {"SESSION_HISTORY_SERVER": service.address, "SESSION_HISTORY_API_KEY": admin}
    where = ("--database-url", database_url) if direct else ()
    rotated = await _done("keys", "rotate", key_id, "--overlap", "0s", *where, **variables)
    assert KEY.fullmatch(rotated)
    assert rotated[4:20] == key_id
    assert await _done("keys", "revoke", key_id, *where, **variables) == f"{key_id} revoked\n"
    for flag in ((), ("--revoked",)):
        assert (key_id in await _done("keys", "list", *flag, *where, **variables)) == bool(flag)
    again = await _run("keys", "rotate", key_id, *where, **variables)
    assert again.exit_code == 1
    assert f"no API key '{key_id}'" in again.stderr


async def test_a_certificate(database_url: str) -> None:
    """It is registered in the database only, printed by its id, listed by its name, and revoked as a key."""
    here = ("--database-url", database_url, "--tenant", "acme")
    words = ("keys", "create", "--scope", "read", "--user", "ada", "--certificate")
    made = await _run(*words, "dns:Orders.internal", *here)
    assert re.fullmatch(r"[0-9A-Za-z]{16}\n", made.stdout)
    key_id = made.stdout.strip()
    assert made.stderr.endswith(f"key {key_id}: scopes read; user ada; certificate DNS:orders.internal\n")
    again = await _run(*words, "DNS:orders.internal", "--database-url", database_url)
    assert again.exit_code == 1
    assert f"is registered as the key {key_id} of the tenant 'acme'" in again.stderr
    found = json.loads(await _done(*words, "URI:spiffe://corp/a", "--json", *here))["api_key"]
    assert found["certificate_name"] == "URI:spiffe://corp/a"
    lines = (await _done("keys", "list", *here)).splitlines()
    assert [line.split("\t")[-1] for line in lines] == ["URI:spiffe://corp/a", "DNS:orders.internal"]
    rotated = await _run("keys", "rotate", key_id, *here)
    assert "has the name of a certificate and no secret" in rotated.stderr
    assert await _done("keys", "revoke", key_id, *here) == f"{key_id} revoked\n"


async def test_a_tenant_of_its_own(serve: Serve, database_url: str) -> None:
    """A key made for a tenant sees that tenant's keys only."""
    service = await serve(database_url, auth=("keys",))
    here = ("--database-url", database_url)
    secret = await _done("keys", "create", "--scope", "admin", "--tenant", "acme", *here)
    assert await _done("keys", "list", *here) == ""
    listed = await _done(
        "keys", "list", SESSION_HISTORY_SERVER=service.address, SESSION_HISTORY_API_KEY=secret.strip()
    )
    assert listed.startswith(f"{secret[4:20]}\t")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create",), "give at least one of read, write, admin"),
        (("create", "--scope", "all"), "'all' is not one of"),
        (("create", "--scope", "read", "--expires", "1970-01-01"), "must be a coming date"),
        (("create", "--scope", "read", "--expires", "soon"), "must be a coming date"),
        (("create", "--scope", "read", "--name", "x" * 201), "at most 200 characters"),
        (("create", "--scope", "read", "--user", "x" * 257), "at most 256 characters"),
        (("create", "--scope", "read", "--certificate", "DNS:a"), "--certificate needs --database-url"),
        (
            ("create", "--scope", "read", "--certificate", "DNS:*.a", "--database-url", "postgresql://x/y"),
            "must be URI: and a URI of printable ASCII, or DNS: and the name of a host",
        ),
        (("rotate", "short"), "16 letters and digits"),
        (("rotate", "A" * 16, "--overlap", "31d"), "at most 30 days"),
        (("revoke", "A" * 15 + "-"), "16 letters and digits"),
        (("list", "--tenant", "t"), "--tenant needs --database-url or --data-dir"),
        (("list", "--database-url", "postgresql://x/y", "--data-dir", "z"), "not both"),
        (("list", "--database-url", "no url"), "no valid libpq URL"),
        (("list", "--data-dir", "/no/such/folder"), "no data directory"),
        (("revoke", "A" * 16, "--data-dir", "/no/such/folder"), "no data directory"),
        (("list", "--api-key", "two words"), "in ASCII and without spaces"),
        (("list", "--server", "db.example:1", "--api-key", "secret"), "in plain text to another machine"),
    ],
)
async def test_a_wrong_argument_is_refused_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    """With code 2, and without the key."""
    result = await _run("keys", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "secret" not in result.stderr
    assert "two words" not in result.stderr


async def test_every_command_sends_its_key(serve: Serve, database_url: str) -> None:
    """By --api-key or the variable; an error says how, and does not show the key."""
    service = await serve(database_url, auth=("keys",))
    _, secret = await make_key(service)
    wrong = f"{secret[:-1]}{'0' if secret[-1] != '0' else '1'}"
    server = {"SESSION_HISTORY_SERVER": service.address}
    assert await _done("sessions", **server, SESSION_HISTORY_API_KEY=secret) == ""
    assert await _done("sessions", "--api-key", secret, **server) == ""
    missing = await _run("sessions", **server)
    assert (missing.exit_code, "SESSION_HISTORY_API_KEY" in missing.stderr) == (1, True)
    refused = await _run("sessions", "--api-key", wrong, **server)
    assert (refused.exit_code, "CREDENTIALS_INVALID" in refused.stderr) == (1, True)
    assert wrong not in refused.output


def test_the_key_is_in_no_repr() -> None:
    """A traceback may show the object."""
    assert "secret" not in repr(
        Target(Endpoint("h:1"), timeout_seconds=1, api_key="secret", plaintext_key=False)
    )
