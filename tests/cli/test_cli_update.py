"""`session-history update`: its effects and its output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sessionhistory import SessionFields, SessionStatus
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Command = Callable[..., Awaitable[Result]]


@pytest.mark.parametrize("status", ["completed", "abandoned", "active"])
async def test_a_status(command: Command, client: Client, unique: str, status: str) -> None:
    """The status changes, and all other fields stay."""
    await client.create_session(unique, SessionFields(title="a \x1b title"), user_id=unique)
    result = await command("update", unique, "--status", status, "--user", unique)
    assert (result.exit_code, result.stdout) == (0, f"{unique}: {status} a \\x1b title\n")
    session = await client.get_session(unique)
    assert (session.status, session.title) == (SessionStatus(status), "a \x1b title")
    assert (session.end_time is None) == (status == "active")


async def test_a_title_and_a_status(command: Command, client: Client, unique: str) -> None:
    """Title and status change in one call; with --json the output is the whole session."""
    await client.create_session(unique)
    result = await command("update", unique, "--title", "t", "--status", "completed", "--json")
    shown = json.loads(result.stdout)["session"]
    assert (shown["title"], shown["status"]) == ("t", "completed")
    assert (await client.get_session(unique)).title == "t"


async def test_a_state(command: Command, client: Client, unique: str) -> None:
    """The state is patched and printed afterwards, in ASCII."""
    await client.create_session(unique, SessionFields(state={"a": 2**60, "b": 1}))
    result = await command("update", unique, "--state", '{"b": null, "c": "ü"}')
    assert (result.exit_code, result.stdout) == (0, f'{unique}: {{"a": {2**60}, "c": "\\u00fc"}}\n')
    assert (await client.get_session(unique)).state == {"a": 2**60, "c": "ü"}


async def test_numbers_that_python_has_no_json_for(command: Command, shared: Service, unique: str) -> None:
    """Numbers that Python's JSON cannot represent are printed as text, anywhere in the state."""
    numbers = '{"long": %s, "large": 1e400, "low": -1e400}' % ("9" * 5_000)
    session = {"metadata": numbers, "state": numbers}
    request = pb.CreateSessionRequest(session_id=unique, user_id=unique, session=session)
    await shared.stub.CreateSession(request)
    message = {"role": 2, "parts": [{"json": numbers}], "metadata": numbers}
    await shared.stub.AppendMessage(pb.AppendMessageRequest(session_id=unique, message=message))
    shown = {"long": "9" * 5_000, "large": "Infinity", "low": "-Infinity"}
    result = await command("update", unique, "--state", "{}")
    assert json.loads(result.stdout.partition(": ")[2]) == shown
    result = await command("sessions", "--user", unique, "--json")
    assert json.loads(result.stdout)["sessions"][0]["state"] == shown
    result = await command("history", unique, "--json")
    assert json.loads(result.stdout)["history"]["messages"][0]["metadata"] == shown
    result = await command("history", unique, "--full")
    assert '"large": "Infinity"' in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--status", "over"],
        ["--state", "[]"],
        ["--state", "{"],
        ["--state", "null"],
        ["--state", '{"a":' * 5_000 + "{}" + "}" * 5_000],
        ["--state", "{}", "--title", "t"],
    ],
)
async def test_what_makes_no_sense(
    command: Command, client: Client, unique: str, arguments: list[str]
) -> None:
    """Invalid arguments are refused in one line, and nothing changes."""
    made = (await client.create_session(unique)).session
    result = await command("update", unique, *arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert await client.get_session(unique) == made


async def test_a_session_that_is_not_there(command: Command, client: Client, unique: str) -> None:
    """A missing session and another user's are not found."""
    await client.create_session(unique, user_id="somebody")
    for arguments in ([unique, "--user", "else"], [f"{unique}-missing"]):
        result = await command("update", *arguments, "--status", "completed")
        assert result.exit_code == 1
        assert "no session" in result.stderr
