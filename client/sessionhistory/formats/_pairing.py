"""Pair tool results with their calls, as the server does."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory.types import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory.types import Message


class Place(NamedTuple):
    """The place of a call: that of its message in the series, and its own in the message."""

    message: int
    call: int


def pair(messages: Sequence[Message]) -> dict[Place, list[int]]:
    """Return the places of the results of each call that has any, in order.

    A result belongs to the nearest earlier call of its id that has no result yet, else to the nearest of that
    id. Of calls in one message, the first is the nearest. Without an id a result belongs to the nearest
    earlier message with calls: to the first call of it without a result, else to the last. A result without
    its call is in no list.
    """
    results: dict[Place, list[int]] = {}
    nearest: dict[str, Place] = {}
    open_calls: defaultdict[str, list[Place]] = defaultdict(list)  # by id, the nearest last
    newest: deque[Place] = deque()  # without the first ones that have results, but for the last
    for place, message in enumerate(messages):
        if message.role is Role.TOOL:
            if call_id := message.tool_call_id:
                call = _nearest_open(open_calls[call_id], results) or nearest.get(call_id)
            else:
                call = _first_open(newest, results)
            if not call:  # a window has neither such a result nor its calls
                continue
            results.setdefault(call, []).append(place)
        if message.tool_calls:
            newest = deque(Place(place, index) for index in range(len(message.tool_calls)))
            for at in reversed(newest):
                call_id = message.tool_calls[at.call].id
                open_calls[call_id].append(at)
                nearest[call_id] = at
    return results


def _nearest_open(calls: list[Place], results: dict[Place, list[int]]) -> Place | None:
    """Return the last call without a result, and remove those behind it: each is looked at once."""
    while calls and calls[-1] in results:
        calls.pop()
    return calls[-1] if calls else None


def _first_open(calls: deque[Place], results: dict[Place, list[int]]) -> Place | None:
    """Return the first call without a result, and remove those before it; the last one stays."""
    while len(calls) > 1 and calls[0] in results:
        calls.popleft()
    return calls[0] if calls else None
