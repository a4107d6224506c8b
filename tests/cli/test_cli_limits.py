"""`session-history limits`: set, list and unset, in the database itself."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from sessionhistory import AsyncSessionHistoryClient, errors
from sessionhistory_cli.commands import cli
from sessionhistory_server.model.tenant_limits import TenantLimits
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from support.service import Service


async def _run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, ["limits", *arguments])


async def _done(*arguments: str) -> str:
    result = await _run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_set_list_and_unset(database_url: str) -> None:
    """A tenant's own limit is beside that of every tenant; none is no limit."""
    here = ("--database-url", database_url)
    assert await _done("list", *here) == ""
    assert "no limits" in (await _run("list", *here)).stderr
    await _done("set", "user_sessions=5", "tenant_bytes=10GiB", *here)
    text = await _done("set", "tenant_bytes=none", "session_messages=0", "--tenant", "acme", *here)
    assert text.split("\n")[0].split() == ["acme", "tenant_bytes", "none"]
    await _done("set", "user_sessions=6", *here)
    listed = json.loads(await _done("list", "--json", *here))["limits"]
    assert [tuple(limit.values()) for limit in listed] == [
        ("", "tenant_bytes", 10 * 2**30),
        ("", "user_sessions", 6),
        ("acme", "session_messages", 0),
        ("acme", "tenant_bytes", None),
    ]
    lines = (await _done("list", *here)).splitlines()
    assert lines[0] == f"every tenant  tenant_bytes      {10 * 2**30}"
    unset = await _done("unset", "tenant_bytes", "user_bytes", "--tenant", "acme", "--json", *here)
    assert json.loads(unset) == {"unset": ["tenant_bytes"]}
    assert await _done("unset", "user_bytes", *here) == "unset: none was set\n"
    assert len((await _done("list", *here)).splitlines()) == 3


@pytest.mark.parametrize(
    "wanted",
    [
        *("sessions=1", "tenant_sessions", "tenant_sessions=", "tenant_sessions=-1", "tenant_sessions=1.5"),
        *("tenant_sessions=1GiB", "tenant_bytes=1GB", "tenant_bytes=9999999999TiB", "tenant_bytes=None"),
        *("tenant_requests_per_second=0", f"session_messages={2**63}"),
    ],
)
async def test_a_wrong_limit_is_explained(wanted: str) -> None:
    """It names the limits, or shows the form of a value."""
    result = await _run("set", wanted, "--database-url", "postgresql://127.0.0.1:1/none")
    assert result.exit_code == 2
    assert "limit" in result.output or f"such as {wanted.partition('=')[0]}=1" in result.output


async def test_a_limit_is_given_once() -> None:
    """Which of two values would count is not clear."""
    result = await _run(
        "set", "user_bytes=1", "user_bytes=2", "--database-url", "postgresql://127.0.0.1:1/none"
    )
    assert (result.exit_code, "give each limit once" in result.output) == (2, True)


async def test_a_change_is_in_the_trail(database_url: str) -> None:
    """The event has the tenant, and the limits with their values; an unset one has none."""
    here = ("--tenant", "acme", "--database-url", database_url, "--json")
    set_ = await _run("set", "user_sessions=5", "tenant_bytes=none", *here)
    unset = await _run("unset", "user_sessions", *here)
    events = [json.loads(result.stderr.splitlines()[0]) for result in (set_, unset)]
    found = [(event["act"], event["tenant"], event["limits"]) for event in events]
    assert found == [
        ("limit_change", "acme", "user_sessions=5 tenant_bytes=none"),
        ("limit_change", "acme", "user_sessions"),
    ]


@pytest.mark.parametrize("arguments", [(), ("--database-url", "a", "--data-dir", "b")])
async def test_the_database_must_be_named_once(arguments: tuple[str, ...]) -> None:
    """No server sets limits."""
    result = await _run("list", *arguments)
    assert (result.exit_code, "give --database-url or --data-dir" in result.output) == (2, True)


async def test_a_data_directory_that_is_missing_is_not_created_to_be_listed() -> None:
    """Its name may be mistyped."""
    result = await _run("list", "--data-dir", "/no/such/folder")
    assert (result.exit_code, "no data directory /no/such/folder" in result.output) == (2, True)


async def test_the_help_explains_each_limit() -> None:
    """The group's help has a line for each."""
    text = await _done("--help")
    for name in TenantLimits._fields:
        assert name in text


async def test_running_servers_apply_a_change(
    database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """Within seconds, in both directions. The client does not retry, and the error says which limit it is."""
    service = await serve(database_url, limits=True)
    here = ("--database-url", database_url)
    async with AsyncSessionHistoryClient(service.address) as client:
        await client.create_session("first")
        await _done("set", "tenant_sessions=1", *here)
        held = service.app._limits  # noqa: SLF001 - else the test would create sessions until one is refused
        assert held is not None
        await until(lambda: held.of("default").tenant_sessions == 1)
        with pytest.raises(errors.LimitReachedError) as caught:
            await client.create_session("second")
        assert caught.value.metadata == {"limit": "tenant_sessions", "max": "1", "count": "1"}
        command = ["append", "second", "--create", "--server", service.address]
        result = await asyncio.to_thread(CliRunner().invoke, cli, command, input="hello")
        assert result.exit_code == 1
        assert "tenant_sessions" in result.output
        assert "LIMIT_REACHED" in result.output
        await _done("unset", "tenant_sessions", *here)
        await until(lambda: held.of("default").tenant_sessions is None)
        await client.create_session("second")
