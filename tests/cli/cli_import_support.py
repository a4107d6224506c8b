"""Conversations for the command `import`, and functions that import and read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient, Message

    Command = Callable[..., Awaitable[Result]]

NO_PLACE = "a session has no place for it"
HELLO = {"role": "user", "content": "hello"}


def conversation(conversation_id: str, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a conversation, of one message unless others are given."""
    return {"conversation_id": conversation_id, "messages": messages or (HELLO,), **fields}


def spoken(count: int, *, characters: int = 10) -> list[dict[str, Any]]:
    """Return this many messages, all different."""
    return [{"role": "user", "content": str(place).ljust(characters, ".")} for place in range(count)]


async def report(command: Command, path: Path, *arguments: str) -> dict[str, Any]:
    """Import a file; return the command's report."""
    result = await command("import", path, "--json", *arguments)
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (1 if found["skipped"] else 0)
    return found


async def stored(client: AsyncSessionHistoryClient, session_id: str) -> list[Message]:
    """Return all messages of a session."""
    return [message async for message in client.list_messages(session_id, page_size=1_000)]
