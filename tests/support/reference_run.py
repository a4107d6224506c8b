"""Where the run of a window begins, literally as the contract defines it, over lists.

A beginning is an index into the candidates. The index after the last candidate means an empty run.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from support.reference_window import Limits


class Room(NamedTuple):
    """The rest of the limits, which the summary and the pinned messages leave for the run."""

    messages: int
    tokens: int | None


class Candidates:
    """The unpinned messages that a run may have, and those before them."""

    def __init__(self, unpinned: Sequence[mpb.Message], through: int, before: int | None) -> None:
        covered = [message for message in unpinned if message.sequence <= through]
        after = [message for message in unpinned if message.sequence > through]
        self.messages = [message for message in after if before is None or message.sequence < before]
        self.covered_tokens = tokens(covered)
        self.totals = [*accumulate((m.token_count for m in self.messages), initial=self.covered_tokens)]
        """For each candidate the tokens of all unpinned messages before it; then those of all."""
        self.previous = [covered[-1] if covered else None, *self.messages]
        """For each candidate the unpinned message directly before it."""

    @property
    def total(self) -> int:
        """The tokens of all unpinned messages through the newest candidate."""
        return self.totals[-1]


class Run(NamedTuple):
    """A run: the index at which it begins, its messages, and the limit that cut it."""

    beginning: int
    messages: list[mpb.Message]
    cut: hpb.HistoryCut


def tokens(messages: Iterable[mpb.Message]) -> int:
    """Return the tokens of messages."""
    return sum(message.token_count for message in messages)


def run_of(candidates: Candidates, room: Room, limits: Limits, cut: hpb.HistoryCut) -> Run:
    """Return the run. ``cut`` is the limit to name if no limit cuts the run."""
    by_messages = _beginning_by_messages(candidates, room, limits)
    by_tokens = _beginning_by_tokens(candidates, room, limits)
    beginning = max(by_messages, by_tokens)
    if beginning > 0:
        by_count = by_messages == beginning
        cut = hpb.HISTORY_CUT_MAX_MESSAGES if by_count else hpb.HISTORY_CUT_TOKEN_BUDGET
    if limits.max_turns is not None:
        return _whole_turns(candidates.messages, beginning, cut, limits.max_turns)
    return Run(beginning, candidates.messages[beginning:], cut)


def _beginning_by_messages(candidates: Candidates, room: Room, limits: Limits) -> int:
    sequences = [message.sequence for message in candidates.messages]
    if len(sequences) <= room.messages:
        return 0
    if room.messages == 0:
        return len(sequences)
    sliding = len(sequences) - room.messages
    boundary = multiple_from(sequences[sliding], half_at_most(limits.step_messages, room.messages))
    stepped = min(place for place, sequence in enumerate(sequences) if sequence >= boundary)
    return _with_the_newest_start(candidates, limits, sliding, stepped)


def _beginning_by_tokens(candidates: Candidates, room: Room, limits: Limits) -> int:
    total, before = candidates.total, candidates.totals
    places = range(len(candidates.messages))
    empty = len(candidates.messages)
    if room.tokens is None or total - candidates.covered_tokens <= room.tokens:
        return 0
    fitting = [place for place in places if total - before[place] <= room.tokens]
    sliding = min(fitting, default=empty)
    step = half_at_most(limits.step_tokens, room.tokens)
    boundary = multiple_from(total - room.tokens, step)
    stepped = min((place for place in places if before[place] >= boundary), default=empty)
    for place, message in enumerate(candidates.messages):
        is_split = before[place] < boundary < before[place] + message.token_count
        if is_split and message.token_count > step and place in fitting:
            stepped = place
    return _with_the_newest_start(candidates, limits, sliding, stepped)


def half_at_most(step: int, room: int) -> int:
    """Return the step that applies: at most half of the room, and at least one."""
    return max(min(step, room // 2), 1)


def multiple_from(number: int, step: int) -> int:
    """Return the smallest multiple of a step that is not below a number."""
    return number if number % step == 0 else number - number % step + step


def _with_the_newest_start(candidates: Candidates, limits: Limits, sliding: int, stepped: int) -> int:
    """Return the beginning: a step never cuts away the newest start. Without a start it cuts nothing."""
    starts = [place for place in range(len(candidates.messages)) if _is_start(candidates, limits, place)]
    return max(sliding, min(stepped, max(starts, default=0)))


def _is_start(candidates: Candidates, limits: Limits, place: int) -> bool:
    """Return whether a run may begin at a candidate."""
    before, message = candidates.previous[place], candidates.messages[place]
    if limits.max_turns is not None:
        return place == 0 or _begins_a_turn(before, message)
    if limits.whole_responses and is_one_row(before, message):
        return False
    return message.role != mpb.ROLE_TOOL


def is_one_row(before: mpb.Message | None, message: mpb.Message) -> bool:
    """Return whether a message and the message before it are in one row of ASSISTANT messages."""
    return before is not None and before.role == message.role == mpb.ROLE_ASSISTANT


def _whole_turns(
    candidates: Sequence[mpb.Message], beginning: int, cut: hpb.HistoryCut, max_turns: int
) -> Run:
    """Return the whole turns of a run, at most a number of the newest, and the limit that then cuts it."""
    run = candidates[beginning:]
    turns: list[list[mpb.Message]] = []
    for before, message in zip([None, *candidates], candidates, strict=False):
        if before is None or _begins_a_turn(before, message):
            turns.append([])
        turns[-1].append(message)
    newest = turns[max(len(turns) - max_turns, 0) :]
    whole = [turn for turn in newest if turn[0] in run]
    if sum(map(len, newest)) < len(run):  # the next message would have fitted otherwise
        cut = hpb.HISTORY_CUT_MAX_TURNS
    messages = [message for turn in whole for message in turn]
    return Run(len(candidates) - len(messages), messages, cut)


def _begins_a_turn(before: mpb.Message | None, message: mpb.Message) -> bool:
    if before is not None and before.turn_id and message.turn_id:
        return before.turn_id != message.turn_id
    return message.role == mpb.ROLE_USER
