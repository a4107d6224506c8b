"""`session-history history`: steps, and the options about tool calls and whole responses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from cli_history_support import calling, result, show, store, user

from sessionhistory import HistorySettings, Message, Role, ToolCall, UnansweredCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]


async def test_how_long_the_beginning_stays(command: Command, client: Client, unique: str) -> None:
    """With a step, a line says for how many messages and tokens the beginning stays."""
    await store(client, unique, *(user() for _ in range(10)))
    stays = r"^the beginning (.*)$"

    async def said(*arguments: str) -> list[str]:
        text = await show(command, unique, *arguments)
        return re.findall(stays, text, re.MULTILINE)

    steps = ("--max-messages", "6", "--step-messages", "2")
    assert await said(*steps) == ["stays for 1 more message"]
    both = await said(*steps, "--token-budget", "1000", "--step-tokens", "2")
    assert both == ["stays for 1 more message, if they have at most 994 tokens"]
    assert await said("--max-messages", "5", "--step-messages", "2") == ["moves with the next message"]
    assert await said("--max-messages", "9", "--step-tokens", "2") == ["moves with the next message"]
    assert await said("--max-messages", "12", "--step-messages", "2") == ["stays for 2 more messages"]
    assert await said("--max-messages", "6", "--step-messages", "0") == []
    assert await said(*steps, "--before", "9") == []


async def test_options_about_calls_and_responses(command: Command, client: Client, unique: str) -> None:
    """A window leaves out what the options name, and the next command has the same options."""
    model = Message(role=Role.ASSISTANT, content="hm", token_count=1)
    talk = [user(), calling(ToolCall(name="f", id="a")), model, user(), calling(ToolCall(name="g", id="b"))]
    settings = HistorySettings(unanswered_calls=UnansweredCalls.OMIT, whole_responses=True)
    await store(client, unique, *talk, result("B", "b"), history_settings=settings)

    async def numbers(*arguments: str) -> list[int]:
        found = json.loads((await command("history", unique, *arguments, "--json")).stdout)
        return [message["sequence"] for message in found["history"]["messages"]]

    assert await numbers() == [1, 3, 4, 5, 6]
    assert await numbers("--unanswered-calls", "keep") == [1, 2, 3, 4, 5, 6]
    assert await numbers("--max-messages", "4", "--unanswered-calls", "keep") == [4, 5, 6]
    narrow = ("--max-messages", "4", "--unanswered-calls", "keep", "--no-whole-responses")
    assert await numbers(*narrow) == [3, 4, 5, 6]
    text = await show(command, unique, "--unanswered-calls", "omit")
    assert "\n1 left out: tool results without their call, or messages that --unanswered-calls" in text
    assert f"history {unique} {' '.join(narrow)} --before 3\n" in await show(command, unique, *narrow)
    whole = ("--max-messages", "4", "--whole-responses")
    assert f"history {unique} {' '.join(whole)} --before 4\n" in await show(command, unique, *whole)
