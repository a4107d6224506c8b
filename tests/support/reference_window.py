"""The context window step by step as the design describes it: slow, short and plainly correct.

It shares no code with the server except the contract's messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from support.reference_calls import shown
from support.reference_run import Candidates, Room, Run, half_at_most, run_of, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

MESSAGES_CAP = 1_000


class Summary(NamedTuple):
    """A summary as it is shown and as it was sent, and the messages that it covers."""

    message: mpb.Message
    sent: mpb.Message
    covers: hpb.HistorySummary


class Limits(NamedTuple):
    """The limits and options of a window after all defaults are applied; ``None`` means no limit."""

    max_messages: int
    token_budget: int | None = None
    before_sequence: int | None = None
    include_pinned: bool = True
    max_turns: int | None = None
    step_tokens: int = 0
    step_messages: int = 0
    omits_unanswered: bool = False
    whole_responses: bool = False


def count_tokens(message: mpb.Message) -> int:
    """Return a message's tokens: the caller's number, else a quarter of its characters, rounded up."""
    if message.HasField("token_count"):
        return message.token_count
    characters = sum(len(text) for text in texts_of(message))
    return characters // 4 + (1 if characters % 4 else 0)


def texts_of(message: mpb.Message) -> list[str]:
    """Return the texts of a message that count as tokens."""
    texts = [message.content]
    texts += [part.text or part.json or part.reasoning.text for part in message.parts]
    for call in message.tool_calls:
        texts += [call.name, call.arguments]
    return texts


def window(
    stored: Sequence[mpb.Message], limits: Limits, last_sequence: int, summaries: Sequence[Summary] = ()
) -> hpb.History:
    """Return the window over a session's stored messages, which ascend by sequence."""
    max_messages = min(limits.max_messages, MESSAGES_CAP)
    budget = limits.token_budget

    # 1. Candidates.
    before = limits.before_sequence
    summary = _newest(summaries, before)
    through = summary.covers.through_sequence if summary else 0
    candidates = Candidates([message for message in stored if not message.pinned], through, before)

    # 2. The summary, if it fits, and pinned messages, oldest first, until one does not fit.
    unfit = _excess([summary.message], max_messages, budget) if summary else hpb.HISTORY_CUT_UNSPECIFIED
    if unfit:
        summary = None
    first = [summary.message] if summary else []
    for message in stored:
        earlier = before is None or message.sequence < before
        if limits.include_pinned and message.pinned and earlier:
            if _excess([*first, message], max_messages, budget):
                break
            first.append(message)

    # 3. The run of the newest other messages in the room that is left.
    room = Room(max_messages - len(first), None if budget is None else budget - tokens(first))
    run = run_of(candidates, room, limits, unfit or hpb.HISTORY_CUT_NONE)

    # 4. Without the messages that would lack others.
    kept = shown(run.messages, candidates.previous[run.beginning], limits)

    # 5. The union.
    messages = sorted([*first, *kept], key=lambda message: message.sequence)
    history = hpb.History(
        messages=messages,
        total_tokens=tokens(messages),
        omitted_message_count=len(stored) - len(messages) + len([summary] if summary else []),
        cut=run.cut,
        last_sequence=last_sequence,
        summary=summary.covers if summary else None,
    )
    if run.messages and run.cut != hpb.HISTORY_CUT_NONE:
        history.next_before_sequence = (kept or run.messages)[0].sequence
    if (limits.step_tokens or limits.step_messages) and before is None:
        history.messages_until_move = _messages_until_move(run, room, limits)
        if room.tokens is not None:
            history.tokens_until_move = _tokens_until_move(run, candidates, room.tokens, limits.step_tokens)
    return history


def _messages_until_move(run: Run, room: Room, limits: Limits) -> int:
    """Return how many messages may follow before the limit of messages moves the beginning."""
    moves_always = [hpb.HISTORY_CUT_MAX_TURNS, hpb.HISTORY_CUT_RESPONSE_SIZE]
    moves_always += [hpb.HISTORY_CUT_MAX_MESSAGES] * (limits.step_messages == 0)
    moves_always += [hpb.HISTORY_CUT_TOKEN_BUDGET] * (limits.step_tokens == 0)
    if run.cut == hpb.HISTORY_CUT_NONE:
        return room.messages - len(run.messages)
    if not run.messages or run.cut in moves_always:
        return 0
    step = half_at_most(limits.step_messages, room.messages)
    return max(0, room.messages - len(run.messages) - run.messages[0].sequence % step)


def _tokens_until_move(run: Run, candidates: Candidates, budget: int, step_tokens: int) -> int:
    """Return how many tokens may follow before the token budget moves the beginning."""
    if not run.messages:
        return budget if run.cut == hpb.HISTORY_CUT_NONE else 0
    step = half_at_most(step_tokens, budget)
    before = candidates.totals[run.beginning]
    since = min(before - candidates.covered_tokens, before % step)
    if run.messages[0].token_count > step:
        since = 0
    return max(0, budget - tokens(run.messages) - since)


def covered(stored: Sequence[mpb.Message], through: int) -> list[mpb.Message]:
    """Return the messages that a summary covers."""
    return [message for message in stored if message.sequence <= through and not message.pinned]


def _newest(summaries: Sequence[Summary], before: int | None) -> Summary | None:
    """Return the newest summary whose covered messages all come before a sequence."""
    applying = [s for s in summaries if before is None or s.covers.through_sequence < before]
    return max(applying, key=lambda s: s.covers.through_sequence, default=None)


def _excess(chosen: Sequence[mpb.Message], max_messages: int, token_budget: int | None) -> hpb.HistoryCut:
    """Return the first limit that the chosen messages exceed, or None."""
    if len(chosen) > max_messages:
        return hpb.HISTORY_CUT_MAX_MESSAGES
    if token_budget is not None and tokens(chosen) > token_budget:
        return hpb.HISTORY_CUT_TOKEN_BUDGET
    return hpb.HISTORY_CUT_UNSPECIFIED
