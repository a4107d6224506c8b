"""`session-history import`: the fields of a line, and the errors for invalid lines."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cli_import_support import HELLO, conversation, report, stored

from sessionhistory import Role, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]
    Write = Callable[..., Path]

SECRET = "a-word-of-a-conversation"


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a time zone other than UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
async def test_every_field_has_its_place(command: Command, write: Write, client: Client, unique: str) -> None:
    """Every field of a line is stored in its place in the API; null and empty stay different."""
    call = {"id": "c1", "name": "weather", "arguments": '{"city":  "Rome"}'}
    usage = {"input_tokens": 5, "cache_read_tokens": 3, "cache_creation_input_tokens": 0}
    path = write(
        conversation(
            unique,
            {"role": "developer", "content": "", "name": "ops", "created_at": "2025-06-01T12:00:00.123456"},
            {"role": "assistant", "content": None, "tool_calls": [call], "usage": usage},
            {
                "role": "tool",
                "content": "24\t°C\r\n",
                "tool_call_id": "c1",
                "created_at": "2025-06-01T14:00+02:00",
            },
            {
                "role": "assistant",
                "finish_reason": "length",
                "usage": {"prompt_tokens": 7, "completion_tokens": 2},
            },
            user_id="ada",
            application_id="travel",
            title="Rome",
            model="gpt-4o",
            source="a/b",
        )
    )
    assert (await report(command, path))["imported"] == 1
    session = await client.get_session(unique, user_id="ada")
    assert (session.title, session.model, session.labels) == ("Rome", "gpt-4o", {"source": "a/b"})
    first, second, third, fourth = await stored(client, unique)
    noon = datetime(2025, 6, 1, 12, tzinfo=UTC)
    assert (first.role, first.content, first.name) == (Role.DEVELOPER, "", "ops")
    assert (first.send_time, third.send_time) == (noon + timedelta(microseconds=123_456), noon)
    assert (second.content, second.tool_calls) == (None, (ToolCall(**call),))
    assert second.usage == Usage(input_tokens=5, cache_read_tokens=3, cache_write_tokens=0)
    assert (third.content, third.tool_call_id) == ("24\t°C\r\n", "c1")
    assert fourth.usage == Usage(input_tokens=7, output_tokens=2)
    assert (fourth.finish_reason, first.finish_reason, session.application_id) == ("length", "", "travel")
    assert first.usage is None


async def test_the_least_a_line_can_say(command: Command, write: Write, client: Client, unique: str) -> None:
    """An id and a message are enough for a line; without a user_id the session has no owner."""
    assert (await report(command, write(conversation(unique))))["imported"] == 1
    session = await client.get_session(unique)
    assert (session.user_id, session.title, session.labels) == ("", "hello", {})


async def test_a_given_user_is_the_owner(command: Command, write: Write, client: Client, unique: str) -> None:
    """--user takes precedence over the file."""
    path = write(conversation(f"{unique}-1", user_id="ada"), conversation(f"{unique}-2"))
    await report(command, path, "--user", "eve")
    for number in (1, 2):
        assert (await client.get_session(f"{unique}-{number}")).user_id == "eve"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (SECRET, "not JSON: Expecting value, at column 1"),
        (
            '{"conversation_id": "ID", ' + SECRET,
            "not JSON: Expecting property name enclosed in double quotes",
        ),
        ("[" * 100_000, "not JSON that can be read: nested too deep"),
        (f'{{"conversation_id": {"9" * 5_000}}}', "not JSON that can be read"),
        ([SECRET], "the line: must be an object"),
        ({"title": SECRET}, "conversation_id: is missing"),
        ({"conversation_id": 7, "messages": [HELLO]}, "conversation_id: must be text"),
        ({"conversation_id": f"{SECRET} {SECRET}", "messages": [HELLO]}, "session_id: must be 1 to 256 prin"),
        ({"conversation_id": "\ud800", "messages": [HELLO]}, "conversation_id: must be valid Unicode"),
        ({"conversation_id": "ID"}, "messages: must have at least one"),
        ({"conversation_id": "ID", "messages": []}, "messages: must have at least one"),
        ({"conversation_id": "ID", "messages": SECRET}, "messages: must be a list"),
        ({"conversation_id": "ID", "messages": [HELLO, SECRET]}, "messages[1]: must be an object"),
        (conversation("ID", HELLO, user_id=[SECRET]), "user_id: must be text"),
        (conversation("ID", HELLO, user_id="u" * 257), "user_id: must have at most 256 characters"),
        (conversation("ID", HELLO, title="t" * 501), "title: must have at most 500 characters"),
        (conversation("ID", {"content": SECRET}), "messages[0].role: is missing"),
        (conversation("ID", {"role": SECRET}), "messages[0].role: must be one of system, developer, user"),
        (conversation("ID", {"role": "unknown"}), "messages[0].role: must be one of system, developer, user"),
        (conversation("ID", HELLO | {"content": {SECRET: 1}}), "messages[0].content: must be text or a list"),
        (
            conversation("ID", HELLO | {"content": f"{SECRET}\0"}),
            "messages[0].content: must not contain a NUL",
        ),
        (
            conversation("ID", HELLO | {"content": f"{SECRET}\ud800"}),
            "messages[0].content: must be valid Uni",
        ),
        (
            conversation("ID", HELLO | {"content": "x" * 2**20}),
            "messages[0].content: too large: a message has",
        ),
        (conversation("ID", HELLO | {"created_at": SECRET}), "messages[0].created_at: must be a time in ISO"),
        (conversation("ID", HELLO | {"created_at": True}), "messages[0].created_at: must be text"),
        (
            conversation("ID", HELLO | {"created_at": "1000-01-01"}),
            "messages[0].send_time: must be from 1678",
        ),
        (conversation("ID", HELLO | {"tool_calls": [{}]}), "messages[0].tool_calls[0].name: is missing"),
        (
            conversation("ID", HELLO | {"tool_calls": [{"name": "f", "arguments": {}}]}),
            "messages[0].tool_calls[0].arguments: must be text",
        ),
        (conversation("ID", HELLO | {"usage": 1}), "messages[0].usage: must be an object"),
        (
            conversation("ID", HELLO | {"usage": {"prompt_tokens": True}}),
            "messages[0].usage.prompt_tokens: must be an integer",
        ),
        (
            conversation("ID", HELLO | {"usage": {"prompt_tokens": -1}}),
            "messages[0].usage.input_tokens: must not be negative",
        ),
        (conversation("ID", HELLO | {"usage": {"prompt_tokens": 2**40}}), "messages[0].usage.input_tokens: "),
    ],
)
async def test_a_line_that_cannot_be_stored(
    command: Command,
    write: Write,
    client: Client,
    unique: str,
    line: Any,
    reason: str,
) -> None:
    """An invalid line is skipped; the output has its number, its id and a reason without its text."""
    bad = (line if isinstance(line, str) else json.dumps(line)).replace('"ID"', f'"{unique}"')
    path = write(conversation(f"{unique}-before"), "", bad, conversation(f"{unique}-after"))
    found = await report(command, path)
    assert (found["imported"], found["skipped"], found["finished"]) == (2, 1, True)
    (skip,) = found["skips"]
    assert skip["line"] == 3
    assert skip["reason"].startswith(reason)
    assert SECRET not in skip["reason"]
    with_id = isinstance(line, dict) and line.get("conversation_id") == "ID"
    assert (skip["conversation_id"] == unique) == with_id
    assert [s.session_id async for s in client.list_sessions(title_contains=SECRET)] == []
