"""`session-history messages`: all messages as they are stored, a page at a time."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cli_history_support import NOON, calling, result, store, user

from sessionhistory import JsonPart, MediaPart, Message, Role, TextPart, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]

_COUNT = 45


@pytest.fixture
async def talk(client: Client, unique: str) -> str:
    """A session of 45 messages, of the user and the model in turn."""
    roles = (Role.USER, Role.ASSISTANT)
    said = [Message(role=roles[n % 2], content=f"number {n + 1}", token_count=1) for n in range(_COUNT)]
    await store(client, unique, *said, user_id=unique)
    return unique


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"number (\d+)", text)]


async def _on(command: Command, told: str) -> Result:
    """Run the command that another command's output names."""
    _, found, line = told.partition(" messages: session-history ")
    assert found
    assert line.endswith("\n")
    return await command(*shlex.split(line))


async def test_the_newest_page_first(command: Command, talk: str) -> None:
    """A page is in the session's order and names the command for the page before, back to the first."""
    pages = [await command("messages", talk)]
    while pages[-1].stderr:
        assert pages[-1].stderr.startswith("older messages: ")
        pages.append(await _on(command, pages[-1].stderr))
    assert [page.exit_code for page in pages] == [0, 0, 0]
    assert [_numbers(page.stdout) for page in pages] == [
        [*range(26, 46)],
        [*range(6, 26)],
        [*range(1, 6)],
    ]


async def test_from_a_sequence(command: Command, talk: str) -> None:
    """With --from a page names the command for the page after it, up to the last message."""
    shown = await command("messages", talk, "--user", talk, "--from", "40", "--limit", "4")
    assert _numbers(shown.stdout) == [40, 41, 42, 43]
    assert shown.stderr == (
        f"newer messages: session-history messages {talk} --user {talk} --limit 4 --from 44\n"
    )
    shown = await _on(command, shown.stderr)
    assert (_numbers(shown.stdout), shown.stderr) == ([44, 45], "")
    shown = await command("messages", talk, "--from", "3", "--before", "5")
    assert (_numbers(shown.stdout), shown.stderr) == ([3, 4], "")


async def test_what_a_summary_covers(command: Command, client: Client, talk: str) -> None:
    """The command shows messages that a summary covers in windows."""
    await client.compact_history(talk, Message(role=Role.SYSTEM, content="so far"), through_sequence=40)
    assert "number 40" not in (await command("history", talk)).stdout
    shown = await command("messages", talk, "--from", "40", "--limit", "1")
    assert re.fullmatch(r"40  assistant  1 token · stored 20.*\n  number 40\n", shown.stdout)
    assert "so far" not in (await command("messages", talk, "--all")).stdout


async def test_filters(command: Command, client: Client, talk: str) -> None:
    """Messages are filtered by role and by time; the command for the next page has the filters too."""
    await store(client, talk, result("45 degrees"), user_id=talk)
    shown = await command("messages", talk, "--role", "user", "--role", "tool", "--limit", "2")
    assert re.findall(r"^\d+  (\w+)", shown.stdout, re.MULTILINE) == ["user", "tool"]
    assert _numbers((await _on(command, shown.stderr)).stdout) == [41, 43]
    middle = (await client.get_message(talk, sequence=46)).create_time
    assert middle
    early = await command("messages", talk, "--created-before", middle.isoformat())
    assert _numbers(early.stdout) == [*range(26, 46)]
    assert (
        await command("messages", talk, "--created-after", middle.isoformat())
    ).stderr == "no such messages\n"


async def test_all(command: Command, talk: str) -> None:
    """With --all every message is shown, from the first one or from a sequence."""
    for options, numbers in (((), range(1, 46)), (("--from", "9"), range(9, 46))):
        shown = await command("messages", talk, "--all", *options)
        assert (_numbers(shown.stdout), shown.stderr) == ([*numbers], "")
        lines = (await command("messages", talk, "--all", "--json", *options)).stdout.splitlines()
        assert [json.loads(line)["sequence"] for line in lines] == [*numbers]


async def test_more_than_a_page_of_the_service(command: Command, client: Client, unique: str) -> None:
    """With --all the pages of the service are read one after the other."""
    for start in range(0, 1_500, 500):
        await store(client, unique, *(user(f"number {start + n}") for n in range(500)))
    assert _numbers((await command("messages", unique, "--all")).stdout) == [*range(1_500)]
    shown = await command("messages", unique, "--limit", "1200")
    assert _numbers(shown.stdout) == [*range(300, 1_500)]
    assert shown.stderr.endswith(" --before 301\n")


async def test_none(command: Command, client: Client, unique: str) -> None:
    """An empty list is reported, and is not an error."""
    await client.create_session(unique)
    for options in ((), ("--all",), ("--json",), ("--from", "7")):
        shown = await command("messages", unique, *options)
        assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "no such messages\n")


async def test_they_read_as_in_a_window(command: Command, client: Client, unique: str) -> None:
    """Messages are shown as in a window.

    Results stand with their calls, removed messages leave no gap, and a terminal shortens long texts.
    """
    call = calling(ToolCall(name="f", id="c"))
    await store(client, unique, user("first"), user("removed"))
    await client.truncate_messages(unique, keep_through_sequence=1)
    await store(client, unique, call, result("found", "c"), user("x" * 3_000))
    text = (await command("messages", unique)).stdout
    assert re.findall(r"^ *\d+  .*?(?=  )", text, re.MULTILINE) == [
        "1  user",
        "3  assistant",
        "  4  tool ← f",
        "5  user",
    ]
    assert "⋮" not in text
    assert "x" * 3_000 in text
    assert "--full shows them" in (await command("messages", unique, columns=80)).stdout
    assert "--full shows them" not in (await command("messages", unique, "--full", columns=80)).stdout


async def test_json_lines_have_every_field(command: Command, client: Client, unique: str) -> None:
    """JSON Lines have one message a line, exactly as it is stored, in ASCII."""
    message = Message(
        role=Role.ASSISTANT,
        content="\x1b[31mü\n",
        message_id="m1",
        tool_calls=(ToolCall(name="f", arguments="{}", id="c"),),
        parts=(TextPart("t"), MediaPart(mime_type="a/b", data=b"\xff"), JsonPart({"n": 2**70})),
        payload=b"\x00\xff",
        usage=Usage(input_tokens=5),
        send_time=NOON,
    )
    await store(client, unique, message, user())
    output = (await command("messages", unique, "--json")).stdout
    assert output.isascii()
    first, second = map(json.loads, output.splitlines())
    assert set(first) == set(Message.__dataclass_fields__)
    assert (first["content"], first["payload"], first["sequence"]) == ("\x1b[31mü\n", "AP8=", 1)
    assert first["parts"][2] == {"value": {"n": 2**70}}
    assert datetime.fromisoformat(first["create_time"]).tzinfo == UTC
    assert second["content"] == "hi"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["no-such-session"],
            1,
            "no session 'no-such-session': it is missing, deleted, expired or another user's",
        ),
        (["no such id"], 2, "SESSION: must be 1 to "),
        (["x", "--user", ""], 2, "--user: must not be empty"),
        (["x", "--all", "--limit", "3"], 2, "give --limit or --all"),
        (["x", "--limit", "0"], 2, "'--limit'"),
        (["x", "--from", "0"], 2, "'--from'"),
        (["x", "--before", "0"], 2, "'--before'"),
        (["x", "--from", str(2**63 + 1)], 2, "--from: is out of the range of"),
        (["x", "--before", str(2**63 + 1)], 2, "--before: is out of the range of"),
        (["x", "--limit", "1000000001"], 2, "'--limit'"),
        (["x", "--role", "unknown"], 2, "'--role'"),
        (["x", "--created-after", "soon"], 2, "'--created-after': must be a date or time in ISO 8601"),
        ([], 2, "'SESSION'"),
    ],
)
async def test_what_cannot_be_shown(command: Command, arguments: list[str], code: int, said: str) -> None:
    """One line names the reason; the exit code is 2 for wrong arguments, else 1."""
    shown = await command("messages", *arguments)
    (line,) = shown.stderr.splitlines()
    assert (shown.exit_code, shown.stdout) == (code, "")
    assert line.startswith("Error: ")
    assert said in line


async def test_an_id_that_looks_like_an_option(command: Command, client: Client, unique: str) -> None:
    """The command for the next page quotes the id so that it can be copied."""
    await store(client, f"-{unique}", user("number 1"), user("number 2"))
    shown = await command("messages", "--limit", "1", "--", f"-{unique}")
    assert shown.stderr.endswith(f"messages --limit 1 --before 2 -- -{unique}\n")
    assert _numbers((await _on(command, shown.stderr)).stdout) == [1]
