"""Conversations for the command `history`, and functions that show and store them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sessionhistory import Message, Role, SessionFields, ToolCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]

STYLE = re.compile(r"\x1b\[[0-9;]*m")
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def user(content: str | None = "hi", **fields: object) -> Message:
    """Return a user message of one token."""
    return Message(role=Role.USER, content=content, token_count=1, send_time=NOON, **fields)  # type: ignore[arg-type]


def calling(*calls: ToolCall, content: str | None = None) -> Message:
    """Return a model message that calls tools."""
    return Message(role=Role.ASSISTANT, content=content, tool_calls=calls, token_count=1, send_time=NOON)


def result(content: str, call_id: str = "", name: str = "") -> Message:
    """Return the result of a call."""
    return Message(
        role=Role.TOOL, content=content, tool_call_id=call_id, name=name, token_count=1, send_time=NOON
    )


async def show(command: Command, session_id: str, *arguments: str, columns: int | None = None) -> str:
    """Return the command's output without colours."""
    shown = await command("history", session_id, *arguments, columns=columns)
    assert (shown.exit_code, shown.stderr) == (0, "")
    return STYLE.sub("", shown.stdout)


async def store(
    client: Client, session_id: str, *messages: Message, user_id: str | None = None, **fields: object
) -> None:
    """Store messages in a new session."""
    session = SessionFields(**fields)  # type: ignore[arg-type]
    await client.append_messages(session_id, messages, user_id=user_id, new_session=session)
