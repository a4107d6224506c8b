"""Check whether the concurrent answers of several clients could come from some sequential order.

This is the search of Wing and Gong. A call may come next if it began before any other remaining call had
ended. The search takes one whose answer is the model's, and goes on from there. It does not search one
position twice: the same finished calls, and the same state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from history_model import State, step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from history_model import Call, Outcome

MAX_POSITIONS = 200_000
"""How many positions a search tries before it gives up; a schedule takes some hundreds."""


class Operation(NamedTuple):
    """A call and its answer, and when it began and ended on the clients' clock."""

    call: Call
    outcome: Outcome
    begun: int
    ended: int
    follows: int | None = None
    """The index in the history of the operation that must come before it, although the two overlap."""


class Verdict(NamedTuple):
    """An order of the operations that explains all of them, or else the longest one that was found."""

    linearizable: bool
    order: tuple[int, ...]
    state: State
    """The state after the last operation of the order."""
    positions: int


class UndecidedError(Exception):
    """The search has tried more positions than its limit."""


def check(history: Sequence[Operation], initial: State = State()) -> Verdict:  # noqa: B008 - it is immutable
    """Look for an order of a history's operations that explains each outcome.

    Raises:
        UndecidedError: there are too many positions to try.
    """
    best: tuple[tuple[int, ...], State] = ((), initial)
    seen: set[tuple[frozenset[int], State]] = set()
    waiting: list[tuple[tuple[int, ...], State]] = [best]
    while waiting:
        order, state = waiting.pop()
        position = frozenset(order), state
        if position in seen:
            continue
        seen.add(position)
        if len(seen) > MAX_POSITIONS:
            raise UndecidedError
        if len(order) > len(best[0]):
            best = order, state
        if len(order) == len(history):
            return Verdict(linearizable=True, order=order, state=state, positions=len(seen))
        for place in _next(history, position[0]):
            changed, outcome = step(state, history[place].call)
            if outcome == history[place].outcome:
                waiting.append(((*order, place), changed))
    return Verdict(linearizable=False, order=best[0], state=best[1], positions=len(seen))


def explain(history: Sequence[Operation], verdict: Verdict) -> str:
    """Return the order that was found, a line for each operation, and the model's answers to the others."""
    lines = [_line(history[place]) for place in verdict.order]
    if not verdict.linearizable:
        lines.append(f"-- then nothing fits {verdict.state}")
        for place in sorted(set(range(len(history))) - set(verdict.order)):
            _, expected = step(verdict.state, history[place].call)
            lines.append(f"{_line(history[place])}; would be {expected}")
    return "\n".join(lines)


def culprits(history: Sequence[Operation]) -> list[Operation]:
    """Return each operation without which the rest of a history can be explained."""
    found = []
    for place, operation in enumerate(history):
        rest = [other._replace(follows=None) for index, other in enumerate(history) if index != place]
        if check(rest).linearizable:
            found.append(operation)
    return found


def _next(history: Sequence[Operation], done: frozenset[int]) -> Iterator[int]:
    """Yield the operations that may come next: those that began before any remaining one had ended."""
    left = [place for place in range(len(history)) if place not in done]
    first_end = min(history[place].ended for place in left)
    for place in reversed(left):
        follows = history[place].follows
        if history[place].begun < first_end and (follows is None or follows in done):
            yield place


def _line(operation: Operation) -> str:
    call = operation.call
    when = f"[{operation.begun:3}, {operation.ended:3}]"
    return f"{when} {call.user}: {call.kind} {call.arguments} -> {operation.outcome}"
