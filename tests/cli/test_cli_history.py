"""`session-history history`: the window, the omitted messages, and the commands that show those."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING

import pytest
from cli_history_support import NOON, calling, result, show, store, user

from sessionhistory import (
    History,
    JsonPart,
    MediaPart,
    Message,
    Role,
    TextPart,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]


async def test_the_heading(command: Command, client: Client, unique: str) -> None:
    """The heading names the conversation, and says how much of it is shown."""
    await store(
        client, unique, user(), user(), user_id="ada", title="Rome\nin May", model="gpt-4o", labels={"a": "b"}
    )
    session = await client.get_session(unique)
    for columns, said in ((200, "just now"), (None, f"{session.last_activity_time:%Y-%m-%d %H:%M:%SZ}")):
        assert (await show(command, unique, columns=columns)).splitlines()[:5] == [
            unique,
            "Rome in May",
            f"user ada · model gpt-4o · labels a=b · last activity {said}",
            "2 of 2 messages, 2 tokens",
            "",
        ]


async def test_what_is_left_out(command: Command, client: Client, unique: str) -> None:
    """The heading has the number of omitted messages, the reason, and the command for the window before.

    Following these commands leads to the first message.
    """
    await store(
        client, unique, *(user(f"number {number}") for number in range(1, 8)), user_id="ada", title="a"
    )
    text = await show(command, unique, "--user", "ada", "--max-messages", "3")
    assert (
        "3 of 7 messages, 3 tokens\n4 left out: the limit of messages is reached (--max-messages)\n" in text
    )
    before = f"history {unique} --user ada --max-messages 3 --before 5"
    assert f"the window before this one:\n  session-history {before}\n" in text
    assert "⋮  1 to 4 not in this window" in text
    text = await show(command, *before.split()[1:])
    assert re.findall(r"number \d", text) == ["number 2", "number 3", "number 4"]
    assert "4 left out: --before 5; the limit of messages" in text
    assert f"\n  session-history {before.replace('--before 5', '--before 2')}\n" in text
    assert "⋮  1 not in this window" in text
    assert "⋮  5 to 7 not in this window" in text
    text = await show(command, unique, "--before", "2")
    assert "6 left out: --before 2\n" in text
    assert "the window before" not in text


async def test_why_the_rest_is_left_out(command: Command, client: Client, unique: str) -> None:
    """The heading tells apart limits, --no-pinned, and results without their call."""
    pinned = Message(role=Role.SYSTEM, content="rules", pinned=True, token_count=1)
    call = ToolCall(name="f", id="c")
    await store(client, unique, pinned, user(), calling(call), result("found", "c"), user("thanks"))
    text = await show(command, unique, "--max-messages", "3")
    assert "3 left out: the limit of messages is reached (--max-messages)\n" in text
    assert re.findall(r"^(?:⋮  )?\d.*?(?:pinned|window|tokens?)", text, re.MULTILINE) == [
        "2 of 5 messages, 2 tokens",
        "1  system  pinned",
        "⋮  2 to 4 not in this window",
        "5  user  1 token",
    ]
    text = await show(command, unique, "--token-budget", "2", "--no-pinned")
    assert "--no-pinned; older ones do not fit the token budget (--token-budget)" in text
    assert "--token-budget 2 --no-pinned --before" in text
    text = await show(command, unique, "--max-turns", "1")
    assert "3 left out: the limit of turns is reached (--max-turns)\n" in text
    assert f"history {unique} --max-turns 1 --before 5\n" in text
    text = await show(command, unique, "--token-budget", "0")
    assert "0 of 5 messages, 0 tokens\n5 left out: older ones do not fit the token budget" in text
    await client.truncate_messages(unique, keep_through_sequence=4)
    text = await show(command, unique, "--max-messages", "2")
    assert (
        "3 left out: the limit of messages is reached (--max-messages); tool results without their call"
        in text
    )
    assert "--before 4\n" in text


async def test_what_is_gone_is_not_left_out(command: Command, client: Client, unique: str) -> None:
    """Sequences of removed messages are not shown as a gap, unless other messages are missing there."""
    await store(client, unique, user(), user(), user())
    await client.truncate_messages(unique, keep_through_sequence=1)
    assert (await show(command, unique)).endswith("\n  hi\n")
    await store(client, unique, user("again"))
    text = await show(command, unique)
    assert "2 of 2 messages" in text
    assert "⋮" not in text
    assert "⋮  1 to 3 not in this window" in await show(command, unique, "--max-messages", "1")


async def test_a_summary_is_shown_as_one(command: Command, client: Client, unique: str) -> None:
    """A summary is shown with the number of its messages, which count neither as missing nor as omitted."""
    pinned = Message(role=Role.SYSTEM, content="rules", pinned=True, token_count=1)
    call = calling(ToolCall(name="f", id="c"))
    await store(client, unique, user(), pinned, user(), user(), call, result("found", "c"), user(), user())
    summary = Message(role=Role.SYSTEM, content="so far", token_count=7)
    await client.compact_history(unique, summary, through_sequence=4)
    text = await show(command, unique)
    assert "5 of 8 messages, and a summary of 3, 12 tokens\n\n2  system  pinned" in text
    assert re.search(r"\n4  system  summary of 3 messages, 3 tokens  7 tokens · stored .*\n  so far\n", text)
    assert "⋮" not in text
    assert "left out" not in text
    text = await show(command, unique, "--max-messages", "4")
    assert "3 of 8 messages, and a summary of 3, 10 tokens\n2 left out: the limit of messages" in text
    assert "⋮  5 to 6 not in this window" in text
    await client.compact_history(unique, summary, through_sequence=5)
    assert "\n1 left out: tool results without their call, or " in await show(command, unique)
    text = await show(command, unique, "--token-budget", "6")
    assert "3 of 8 messages, 3 tokens\n5 left out: older ones do not fit the token budget" in text


async def test_a_command_to_copy_is_not_broken(command: Command, client: Client, unique: str) -> None:
    """A command to copy has no line breaks; the terminal wraps it, and copying undoes that."""
    session_id = unique.ljust(128, "x")
    await store(client, session_id, user(), user())
    shown = await show(command, session_id, "--max-messages", "1", columns=80)
    assert f"\n  session-history history {session_id} --max-messages 1 --before 2\n" in shown


async def test_json_has_every_field(command: Command, client: Client, unique: str) -> None:
    """JSON has the session and the window exactly, with the API's names and words."""
    message = Message(
        role=Role.ASSISTANT,
        content="\x1b[31mü\n",
        message_id="m1",
        tool_calls=(ToolCall(name="f", arguments="{}", id="c"),),
        parts=(TextPart("t"), MediaPart(mime_type="a/b", data=b"\xff"), JsonPart({"n": 2**70})),
        payload=b"\x00\xff",
        metadata={"a": [1.5, True]},
        usage=Usage(input_tokens=5),
        token_count=7,
        send_time=NOON,
    )
    await store(client, unique, message)
    output = (
        await command("history", unique, "--max-messages", "15", "--step-messages", "5", "--json")
    ).stdout
    assert output.isascii()
    assert output.rstrip("\n").isprintable()
    found = json.loads(output)
    assert found["session"]["session_id"] == unique
    assert set(found["history"]) == {field.name for field in dataclasses.fields(History)}
    (shown,) = found["history"].pop("messages")
    assert found["history"] == {
        "total_tokens": 7,
        "omitted_message_count": 0,
        "cut": "none",
        "next_before_sequence": None,
        "last_sequence": 1,
        "summary": None,
        "tokens_until_move": None,
        "messages_until_move": 14,
    }
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", shown.pop("create_time"))
    assert shown == {
        "role": "assistant",
        "content": "\x1b[31mü\n",
        "message_id": "m1",
        "name": "",
        "tool_calls": [{"name": "f", "arguments": "{}", "id": "c"}],
        "tool_call_id": "",
        "parts": [
            {"text": "t"},
            {"mime_type": "a/b", "uri": None, "data": "/w=="},
            {"value": {"n": 2**70}},
        ],
        "payload": "AP8=",
        "payload_type": "",
        "metadata": {"a": [1.5, True]},
        "model": "",
        "provider": "",
        "usage": {
            "input_tokens": 5,
            "output_tokens": None,
            "cache_read_tokens": None,
            "cache_write_tokens": None,
        },
        "token_count": 7,
        "pinned": False,
        "status": "complete",
        "turn_id": "",
        "finish_reason": "",
        "send_time": "2025-06-01T12:00:00.000000Z",
        "sequence": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["no-such-session"],
            1,
            "no session 'no-such-session': it is missing, deleted, expired or another user's",
        ),
        (["no such id"], 2, "SESSION: must be 1 to 256 printable"),
        (["x", "--user", ""], 2, "--user: must not be empty"),
        (["x", "--max-messages", "-1"], 2, "'--max-messages'"),
        (["x", "--max-messages", str(2**40)], 2, "--max-messages: is out of the range of"),
        (["x", "--max-turns", "-1"], 2, "'--max-turns'"),
        (["x", "--step-tokens", "-1"], 2, "'--step-tokens'"),
        (["x", "--step-tokens", str(2**40)], 2, "--step-tokens: is out of the range of"),
        (["x", "--step-messages", "a"], 2, "'--step-messages'"),
        (["x", "--unanswered-calls", "unknown"], 2, "'--unanswered-calls'"),
        (["x", "--before", "0"], 2, "'--before'"),
        ([], 2, "'SESSION'"),
    ],
)
async def test_what_cannot_be_shown(command: Command, arguments: list[str], code: int, said: str) -> None:
    """One line names the reason; the exit code is 2 for wrong arguments, else 1."""
    result = await command("history", *arguments)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (code, "")
    assert line.startswith("Error: ")
    assert said in line


async def test_another_users_session(command: Command, client: Client, unique: str) -> None:
    """Another user's session is reported as missing."""
    await store(client, unique, user(), user_id="ada")
    result = await command("history", unique, "--user", "eve")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"Error: no session '{unique}': it is missing, deleted, expired or another user's"
    )
