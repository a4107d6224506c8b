"""`session-history update`: what it changes and says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sessionhistory import Session, SessionStatus
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Command = Callable[..., Awaitable[Result]]


@pytest.mark.parametrize("status", ["completed", "abandoned", "active"])
async def test_a_status(command: Command, client: Client, unique: str, status: str) -> None:
    """A session ends, or goes on; what else it has stays."""
    await client.create_session(Session(session_id=unique, title="a \x1b title", user_id=unique))
    result = await command("update", unique, "--status", status, "--user", unique)
    assert (result.exit_code, result.stdout) == (0, f"{unique}: {status} a \\x1b title\n")
    session = await client.get_session(unique)
    assert (session.status, session.title) == (SessionStatus(status), "a \x1b title")
    assert (session.complete_time is None) == (status == "active")


async def test_a_title_and_a_status(command: Command, client: Client, unique: str) -> None:
    """Both in one step; as JSON the whole session is shown."""
    await client.create_session(Session(session_id=unique))
    result = await command("update", unique, "--title", "t", "--status", "completed", "--json")
    shown = json.loads(result.stdout)["session"]
    assert (shown["title"], shown["status"]) == ("t", "completed")
    assert (await client.get_session(unique)).title == "t"


async def test_a_state(command: Command, client: Client, unique: str) -> None:
    """It is patched, and shown as it is then, in ASCII."""
    await client.create_session(Session(session_id=unique, state={"a": 2**60, "b": 1}))
    result = await command("update", unique, "--state", '{"b": null, "c": "ü"}')
    assert (result.exit_code, result.stdout) == (0, f'{unique}: {{"a": {2**60}, "c": "\\u00fc"}}\n')
    assert (await client.get_session(unique)).state == {"a": 2**60, "c": "ü"}


async def test_numbers_that_python_has_no_json_for(command: Command, shared: Service, unique: str) -> None:
    """They are shown as text, wherever they stand."""
    numbers = '{"long": %s, "large": 1e400, "low": -1e400}' % ("9" * 5_000)
    session = {"session_id": unique, "user_id": unique, "metadata": numbers, "state": numbers}
    await shared.stub.CreateSession(pb.CreateSessionRequest(session=session))
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
    """It is refused in one line, and nothing is changed."""
    made = (await client.create_session(Session(session_id=unique))).session
    result = await command("update", unique, *arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert await client.get_session(unique) == made


async def test_a_session_that_is_not_there(command: Command, client: Client, unique: str) -> None:
    """Missing, or another's, it is not found."""
    await client.create_session(Session(session_id=unique, user_id="somebody"))
    for arguments in ([unique, "--user", "else"], [f"{unique}-missing"]):
        result = await command("update", *arguments, "--status", "completed")
        assert result.exit_code == 1
        assert "no session" in result.stderr
