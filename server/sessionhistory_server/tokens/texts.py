"""The texts of a message that count as tokens: those that a model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessionhistory_server.model.message import MessageContent, Part


def text_of(part: Part) -> str | None:
    """Return the text of a part that counts: its text, its JSON or its reasoning, as the caller sent it."""
    return part.text or part.json or (part.reasoning.text if part.reasoning else None)


def text_before_json(part: Part) -> str | None:
    """Return the text of a part that counts in version 1, without JSON and reasoning."""
    return part.text


def texts(content: MessageContent, of_part: Callable[[Part], str | None] = text_of) -> Iterator[str]:
    """Yield the texts of a message: its content, its parts' texts, its tool calls' names and arguments."""
    if content.content:
        yield content.content
    if content.extras is None:
        return
    for part in content.parts:
        if text := of_part(part):
            yield text
    for call in content.tool_calls:
        yield call.name
        if call.arguments:
            yield call.arguments
