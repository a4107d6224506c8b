"""The turns of a request to an API that wants those of users and of the model to alternate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from sessionhistory.formats._repair import arguments_object
from sessionhistory.types import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory.formats._content import Json
    from sessionhistory.types import Message

BEGINNING: Final = "[beginning of the conversation]"
"""The user's message before a first message of the model, which the API refuses as the first."""
CONTINUE: Final = "[continue]"
"""The user's message behind a last message of the model, which the API refuses as the last."""

PROMPTS: Final = (Role.SYSTEM, Role.DEVELOPER)


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of a request: the blocks, or parts, of one role."""

    role: str
    blocks: list[Json]


def joined(turns: Iterable[Turn]) -> list[Turn]:
    """Return turns without empty ones, and with consecutive turns of one role joined."""
    filled = [turn for turn in turns if turn.blocks]
    return [
        Turn(role, [block for turn in run for block in turn.blocks])
        for role, run in groupby(filled, lambda turn: turn.role)
    ]


def same_calls(one: Message, other: Message) -> bool:
    """Return whether two messages have the same calls, with arguments that are the same object."""

    def compared(message: Message) -> list[tuple[str, str, Json]]:
        return [(call.id, call.name, arguments_object(call.arguments)) for call in message.tool_calls]

    return compared(one) == compared(other)
