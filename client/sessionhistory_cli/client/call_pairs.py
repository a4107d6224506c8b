"""Find the tool call that a result answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sessionhistory_cli.client.message_body import call_labels

if TYPE_CHECKING:
    from sessionhistory import Message

# A whole session may not fit into memory, so the oldest calls are forgotten.
_MAX_IDS: Final = 10_000
_MAX_CALLS_OF_ONE_ID: Final = 100


@dataclass(slots=True)
class LabelledCall:
    """A tool call of a message, with the label that it is shown by."""

    label: str
    name: str
    id: str
    answered: bool = False


class CallPairs:
    """The calls of the messages so far. A result finds its call as the server does for windows."""

    def __init__(self) -> None:
        self._by_id: dict[str, deque[LabelledCall]] = {}
        """The calls of each id; of several in one message, the first is the last here."""
        self._nearest: list[LabelledCall] = []
        """The calls of the nearest message that has any."""

    def add(self, message: Message) -> None:
        """Add the calls of the next message."""
        calls = [
            LabelledCall(label, call.name, call.id)
            for label, call in zip(call_labels(message), message.tool_calls, strict=True)
        ]
        self._nearest = calls or self._nearest
        for call in reversed(calls):
            same_id = self._by_id.pop(call.id, None) or deque(maxlen=_MAX_CALLS_OF_ONE_ID)
            same_id.append(call)
            self._by_id[call.id] = same_id
        while len(self._by_id) > _MAX_IDS:
            del self._by_id[next(iter(self._by_id))]

    def answer(self, result: Message) -> LabelledCall | None:
        """Return the call that a result answers, and mark it as answered.

        With an id, this is the nearest call of that id without a result, else the nearest call of that id.
        Without an id, it is the first call without a result of the nearest message with calls.
        """
        calls = self._of_id(result.tool_call_id) if result.tool_call_id else self._nearest
        beside = calls[0] if calls and result.tool_call_id else None
        call = next((call for call in calls if not call.answered), beside)
        if call:
            call.answered = True
        return call

    def _of_id(self, call_id: str) -> list[LabelledCall]:
        return [*reversed(self._by_id.get(call_id, ()))]
