"""Counting the tokens of a message, where the caller did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionhistory_server.model import MessageContent

CHARACTERS_PER_TOKEN: Final = 4


def count(content: MessageContent) -> int:
    """Return about how many tokens a message has.

    The Unicode code points of its content, its text parts, and its tool calls' names and arguments,
    added up, divided by 4, rounded up once.
    """
    characters = len(content.content or "")
    characters += sum(len(part.text) for part in content.parts or () if part.text is not None)
    characters += sum(len(call.name) + len(call.arguments) for call in content.tool_calls or ())
    return -(-characters // CHARACTERS_PER_TOKEN)
