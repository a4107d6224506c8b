"""The turns of a request to Anthropic's Messages API."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from sessionhistory.formats import _anthropic_blocks as blocks
from sessionhistory.formats._anthropic_checks import THINKING
from sessionhistory.formats._arrange import Called, Caller, Said
from sessionhistory.formats._turns import PROMPTS, Turn, joined
from sessionhistory.types import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory.formats._arrange import Step
    from sessionhistory.formats._content import Json
    from sessionhistory.types import Message


@dataclass(slots=True)
class Conversation:
    """The system prompt and the turns of a request, and the last block of the beginning that stays."""

    system: list[Json] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    last_kept: Json | None = None

    def add(self, step: Step, *, is_kept: bool, system_messages: bool) -> None:
        """Add a step: a system prompt to the system prompt if it is at the beginning, else a turn."""
        if isinstance(step, Said) and step.message.role in PROMPTS and not self.turns:
            self._add_prompt(step.message)
        else:
            self.turns += _turns(step, system_messages=system_messages)
        if is_kept and (self.turns or self.system):
            self.last_kept = (self.turns[-1].blocks if self.turns else self.system)[-1]

    def _add_prompt(self, message: Message) -> None:
        """Add a message to the system prompt. Its media become a user's turn: the prompt takes none."""
        told = blocks.said(message)
        self.system += [block for block in told if block["type"] == "text"]
        media = [block for block in told if block["type"] != "text"]
        self.turns += [Turn("user", media)] if media else []


def settled(turns: Iterable[Turn]) -> list[Turn]:
    """Return turns as the API accepts them: joined, calls last, no thinking last, system messages placed."""
    placed = [
        turn for is_model, run in groupby(turns, _is_models) for turn in _placed(run, is_model=is_model)
    ]
    spoken = [Turn(turn.role, _ordered(turn)) for turn in joined(placed)]
    return joined(spoken)


def _turns(step: Step, *, system_messages: bool) -> Iterator[Turn]:
    """Yield the turns of a step, without empty ones."""
    if isinstance(step, Called):
        yield Turn("assistant", [block for caller in step.callers for block in blocks.of_model(caller)])
        yield Turn("user", [blocks.result(answered) for answered in step.calls])
        return
    message = step.message
    if message.role is Role.ASSISTANT:
        made = Turn("assistant", blocks.of_model(Caller(message, ())))
    else:
        is_system = system_messages and message.role in PROMPTS
        told = blocks.said(message)
        made = Turn(
            "system" if is_system and all(block["type"] == "text" for block in told) else "user", told
        )
    if made.blocks:
        yield made


def _is_models(turn: Turn) -> bool:
    return turn.role == "assistant"


def _placed(run: Iterable[Turn], *, is_model: bool) -> list[Turn]:
    """Return turns between two of the model with system messages behind the user's, or as the user's."""
    turns = list(run)
    users = [turn for turn in turns if turn.role == "user"]
    if is_model or not users:
        return [Turn("assistant" if is_model else "user", turn.blocks) for turn in turns]
    return [*users, *(turn for turn in turns if turn.role == "system")]


def _ordered(turn: Turn) -> list[Json]:
    """Return the blocks of a turn with calls last, and of the model's without thinking at the end."""
    if turn.role != "assistant":
        return turn.blocks
    made = sorted(turn.blocks, key=lambda block: block["type"] == "tool_use")
    while made and made[-1]["type"] in THINKING:
        made.pop()
    return made
