"""The context window step by step as the design describes it: slow, short and plainly correct.

It shares no code with the server except the contract's messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MESSAGES_CAP = 1_000


class Summary(NamedTuple):
    """A summary as it is shown and as it was sent, and the messages that it covers."""

    message: mpb.Message
    sent: mpb.Message
    covers: hpb.HistorySummary


class Limits(NamedTuple):
    """The limits of a window after all defaults are applied; ``None`` means no limit."""

    max_messages: int
    token_budget: int | None = None
    before_sequence: int | None = None
    include_pinned: bool = True
    max_turns: int | None = None


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
    candidates = [message for message in stored if before is None or message.sequence < before]
    summary = _newest(summaries, before)
    if summary is not None:
        through = summary.covers.through_sequence
        candidates = [m for m in candidates if m.pinned or m.sequence > through]

    # 2. The summary, if it fits, and pinned messages, oldest first, until one does not fit.
    unfit = _excess([summary.message], max_messages, budget) if summary else hpb.HISTORY_CUT_UNSPECIFIED
    if unfit:
        summary = None
    first = [summary.message] if summary else []
    for message in candidates:
        if limits.include_pinned and message.pinned:
            if _excess([*first, message], max_messages, budget):
                break
            first.append(message)

    # 3. The longest run of the newest other messages that fits the remaining limits.
    run: list[mpb.Message] = []
    cut: hpb.HistoryCut = unfit or hpb.HISTORY_CUT_NONE
    for message in reversed(candidates):
        if not message.pinned:
            excess = _excess([*first, message, *run], max_messages, budget)
            if excess:
                cut = excess
                break
            run.insert(0, message)

    # 3a. If asked for: only whole turns, and not more than the limit.
    if limits.max_turns is not None:
        run, cut = _whole_turns([m for m in candidates if not m.pinned], run, cut, limits.max_turns)

    # 4. Without tool results whose call is not in the run.
    kept = [message for i, message in enumerate(run) if _has_its_call(message, run[:i])]

    # 5. The union.
    messages = sorted([*first, *kept], key=lambda message: message.sequence)
    return hpb.History(
        messages=messages,
        total_tokens=_tokens(messages),
        omitted_message_count=len(stored) - len(messages) + len([summary] if summary else []),
        cut=cut,
        next_before_sequence=run[0].sequence if run and cut != hpb.HISTORY_CUT_NONE else None,
        last_sequence=last_sequence,
        summary=summary.covers if summary else None,
    )


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
    if token_budget is not None and _tokens(chosen) > token_budget:
        return hpb.HISTORY_CUT_TOKEN_BUDGET
    return hpb.HISTORY_CUT_UNSPECIFIED


def _whole_turns(
    candidates: Sequence[mpb.Message], run: Sequence[mpb.Message], cut: hpb.HistoryCut, max_turns: int
) -> tuple[list[mpb.Message], hpb.HistoryCut]:
    """Return the whole turns of a run, at most a number of the newest, and the limit that then cuts it."""
    turns: list[list[mpb.Message]] = []
    for before, message in zip([None, *candidates], candidates, strict=False):
        if before is None or _begins_a_turn(before, message):
            turns.append([])
        turns[-1].append(message)
    newest = turns[max(len(turns) - max_turns, 0) :]
    whole = [turn for turn in newest if turn[0] in run]
    if sum(map(len, newest)) < len(run):  # the next message would have fitted otherwise
        cut = hpb.HISTORY_CUT_MAX_TURNS
    return [message for turn in whole for message in turn], cut


def _begins_a_turn(before: mpb.Message, message: mpb.Message) -> bool:
    if before.turn_id and message.turn_id:
        return before.turn_id != message.turn_id
    return message.role == mpb.ROLE_USER


def _has_its_call(message: mpb.Message, earlier: Sequence[mpb.Message]) -> bool:
    """Return whether a message is not a tool result, or its nearest earlier non-result made calls."""
    if message.role != mpb.ROLE_TOOL:
        return True
    others = [other for other in earlier if other.role != mpb.ROLE_TOOL]
    return bool(others and others[-1].tool_calls)


def _tokens(messages: Iterable[mpb.Message]) -> int:
    return sum(message.token_count for message in messages)
