"""The cases that a window of a random conversation shows."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from support.reference_calls import owners_of
from support.reference_run import half_at_most, multiple_from, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.reference_kept import Kept
    from support.reference_window import Limits


_MOVED = {
    hpb.HISTORY_CUT_MAX_MESSAGES: "window whose beginning a step of messages moved",
    hpb.HISTORY_CUT_TOKEN_BUDGET: "window whose beginning a step of tokens moved",
}


def cases(kept: Kept, limits: Limits, history: hpb.History) -> Iterator[str]:
    """Yield the names of the cases that a window of a session shows."""
    run = _run(history)
    if history.HasField("messages_until_move"):
        yield "window that says when its beginning moves"
    sliding = kept.window(limits._replace(step_tokens=0, step_messages=0))
    if _run(sliding)[:1] != run[:1] and history.cut in _MOVED:
        yield _MOVED[history.cut]
    if history.cut == hpb.HISTORY_CUT_TOKEN_BUDGET and limits.step_tokens and limits.max_turns is None:
        yield from _cases_of_tokens(kept, limits, history)
    if len(kept.window(limits._replace(omits_unanswered=False)).messages) > len(history.messages):
        yield "window without a message for an unanswered call"
    if len(kept.window(limits._replace(whole_responses=False)).messages) > len(history.messages):
        yield "window without the rest of a row"
    yield from _cases_of_results(run)


def _cases_of_tokens(kept: Kept, limits: Limits, history: hpb.History) -> Iterator[str]:
    """Yield the cases in which a run begins before the boundary of a step."""
    run = _run(history)
    end = limits.before_sequence
    unpinned = [m for m in kept.messages if not m.pinned and (end is None or m.sequence < end)]
    room = (limits.token_budget or 0) - tokens(m for m in history.messages if m not in run)
    step = half_at_most(limits.step_tokens, room)
    boundary = multiple_from(tokens(unpinned) - room, step)
    before = tokens(m for m in unpinned if m.sequence < run[0].sequence) if run else boundary
    if before < boundary < before + run[0].token_count and run[0].token_count > step:
        yield "window that begins with a large message inside which a step ends"
    elif before < boundary:
        yield "window whose newest start a step does not cut away"


def _cases_of_results(run: Sequence[mpb.Message]) -> Iterator[str]:
    owners = owners_of(run)
    calls = [*owners.values()]
    by_sequence = {message.sequence: message for message in run}
    if len(set(calls)) < len(calls):
        yield "result that stands beside another one"
    if any(earlier > later for earlier, later in pairwise(calls)):
        yield "results in another order than their calls"
    if any(by_sequence[sequence].tool_calls for sequence in owners):
        yield "result that carries calls"
    for before, message in pairwise(run):
        if message.role == mpb.ROLE_TOOL and before.role != mpb.ROLE_TOOL and not before.tool_calls:
            yield "result behind another message"
    if {True, False} <= {bool(by_sequence[sequence].tool_call_id) for sequence in owners}:
        yield "result without an id beside one with an id"
    answered = [call.call_id for call in set(calls) if call.call_id]
    if len(set(answered)) < len(answered):
        yield "calls of one id, each with a result"


def _run(history: hpb.History) -> list[mpb.Message]:
    """Return the messages of the run that a window shows."""
    summary = history.summary.through_sequence
    return [m for m in history.messages if not m.pinned and m.sequence != summary]
