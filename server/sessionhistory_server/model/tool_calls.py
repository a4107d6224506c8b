"""Which tool result belongs to which call, as the messages of a run alone decide it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.model.message import TOOL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sessionhistory_server.model.message import Message


def with_calls(run: Iterable[Message]) -> list[Message]:
    """Return the messages of a run without the results whose call is not in it.

    A result with an id needs an earlier call with this id, a result without one any earlier call. Messages in
    between do not matter.
    """
    kept: list[Message] = []
    ids: set[str] = set()
    has_calls = False
    for message in run:
        content = message.content
        if content.role == TOOL:
            call_id = content.tool_call_id
            if not (call_id in ids if call_id else has_calls):
                continue
        if content.tool_calls:
            has_calls = True
            ids.update(call.id for call in content.tool_calls)
        kept.append(message)
    return kept


def answered(run: Sequence[Message]) -> list[Message]:
    """Return the messages of a run whose calls all have results, and these results.

    A message of which any call has no result is left out with the results of its other calls. Results may
    have calls, too, so a result that is left out may take its call's message along.

    Args:
        run: Messages without the results whose call is missing (``with_calls``).
    """
    calls = _Calls()
    for place, message in enumerate(run):
        calls.read(place, message)
    left_out = calls.unanswered()
    return [message for place, message in enumerate(run) if place not in left_out]


class _Calls:
    """The calls of the messages that have been read so far, by number: a run may have a hundred thousand."""

    def __init__(self) -> None:
        self._callers: list[int] = []
        """The place of each call's message."""
        self._calls: dict[int, range] = {}
        """By the place of their message."""
        self._results: dict[int, set[int]] = {}
        """The places of the results of each call that has any."""
        self._answered_by: dict[int, int] = {}
        """By the place of the result."""
        self._open: dict[str, list[int]] = {}
        """By id: the calls that may have no result yet, the nearest last."""
        self._nearest: dict[str, int] = {}
        self._newest = range(0)
        """The calls of the newest message that has calls."""

    def read(self, place: int, message: Message) -> None:
        """Read the next message: find the call of a result, and add the calls of any message."""
        content = message.content
        if content.role == TOOL:
            call = self._call_of(content.tool_call_id)
            self._results.setdefault(call, set()).add(place)
            self._answered_by[place] = call
        if named := content.tool_calls:
            first = len(self._callers)
            self._callers += [place] * len(named)
            self._newest = self._calls[place] = range(first, len(self._callers))
            for call in reversed(self._newest):
                call_id = named[call - first].id
                self._open.setdefault(call_id, []).append(call)
                self._nearest[call_id] = call

    def unanswered(self) -> set[int]:
        """Return the places of the messages that are left out."""
        results = self._results
        left_out: set[int] = set()
        pending = [
            place for place, calls in self._calls.items() if not all(call in results for call in calls)
        ]
        while pending:
            place = pending.pop()
            if place in left_out:
                continue
            left_out.add(place)
            for call in self._calls.get(place, ()):
                pending.extend(results.get(call, ()))
            answered_call = self._answered_by.get(place)
            if answered_call is not None:
                results[answered_call].discard(place)
                pending.extend(() if results[answered_call] else (self._callers[answered_call],))
        return left_out

    def _call_of(self, call_id: str | None) -> int:
        if not call_id:
            return next((call for call in self._newest if call not in self._results), self._newest[-1])
        still_open = self._open[call_id]
        while still_open:
            call = still_open.pop()
            if call not in self._results:
                return call
        return self._nearest[call_id]
