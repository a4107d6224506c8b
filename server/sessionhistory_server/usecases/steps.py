"""How long the beginning of a window's run stays where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.limits import MAX_INT32

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory_server.model.message import Message
    from sessionhistory_server.store.windows.read import StepFacts, WindowRows


class UntilMove(NamedTuple):
    """The tokens and messages that may follow before a limit moves the beginning; ``None``: not limited."""

    tokens: int | None = None
    messages: int | None = None


def until_move(found: WindowRows, run: Sequence[Message]) -> UntilMove:
    """Return how much may follow a run, before anything is left out of it, until its beginning moves.

    Both are minimums: gaps between sequences, and a beginning that a turn or a result decides, may let more
    follow.
    """
    steps = found.steps
    if steps is None:
        return UntilMove()
    if found.cut and not run:
        return UntilMove(_limited(steps, 0), 0)
    return UntilMove(_limited(steps, _tokens(steps, run)), _messages(steps, run, found.cut))


def _limited(steps: StepFacts, tokens: int) -> int | None:
    return tokens if steps.run_tokens <= MAX_INT32 else None


def _tokens(steps: StepFacts, run: Sequence[Message]) -> int:
    """Return the tokens until the multiple of the step that follows the budget passes the beginning."""
    tokens = sum(message.token_count for message in run)
    left = steps.run_tokens - tokens
    if steps.total is None or run[0].token_count > steps.token_step:
        return max(left, 0)
    before = steps.total - tokens
    return max(left - min(before - steps.covered_tokens, before % steps.token_step), 0)


def _messages(steps: StepFacts, run: Sequence[Message], cut: str | None) -> int:
    left = steps.run_messages - len(run)
    if not cut:
        return left
    steps_that_cut = {"MAX_MESSAGES": steps.step_messages, "TOKEN_BUDGET": steps.step_tokens}
    if not steps_that_cut.get(cut):
        return 0
    return max(left - run[0].sequence % steps.message_step, 0)
