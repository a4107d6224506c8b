"""Give calls ids that an API accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sessionhistory.formats._pairing import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory.types import Message

_MADE: Final = "call_{number}_{index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRule:
    """The ids of calls that an API accepts. No API accepts an empty one, or one for two calls."""

    max_length: int
    pattern: re.Pattern[str] = field(default=re.compile(r"[^\x00]+"))

    def accepts(self, call_id: str) -> bool:
        """Return whether an API accepts an id."""
        return len(call_id) <= self.max_length and self.pattern.fullmatch(call_id) is not None


class CallIds:
    """The ids of all calls of a series of messages.

    A call keeps its id if the API accepts it and no earlier call has it. Otherwise the id is made from the
    sequence of the message, or from its place in the series (from 1) if it is not stored, and from the index
    of the call, so that it is the same in each window.
    """

    def __init__(self, messages: Sequence[Message], rule: IdRule) -> None:
        self._ids: dict[Place, str] = {}
        taken = {call.id for message in messages for call in message.tool_calls}
        used: set[str] = set()
        for place, message in enumerate(messages):
            for index, call in enumerate(message.tool_calls):
                call_id = call.id
                if call_id in used or not rule.accepts(call_id):
                    call_id = _made(message.sequence or place + 1, index, taken)
                    taken.add(call_id)
                used.add(call_id)
                self._ids[Place(place, index)] = call_id

    def of(self, message: int, index: int) -> str:
        """Return the id of a call."""
        return self._ids[Place(message, index)]


def _made(number: int, index: int, taken: set[str]) -> str:
    """Return an id that no call has."""
    call_id = _MADE.format(number=number, index=index)
    while call_id in taken:
        call_id += "_"
    return call_id
