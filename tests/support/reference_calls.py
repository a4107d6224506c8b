"""Which messages of a run a window shows: rows of responses, results and their calls, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory.v1 import message_pb2 as mpb
from support.reference_run import is_one_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.reference_window import Limits


class _Call(NamedTuple):
    """A call, named by the sequence of its message and by its index in it."""

    sequence: int
    index: int
    call_id: str


def shown(run: Sequence[mpb.Message], before: mpb.Message | None, limits: Limits) -> list[mpb.Message]:
    """Return the messages of a run that a window shows. ``before`` is the unpinned message before the run."""
    left = without_a_begun_row(run, before) if limits.whole_responses else list(run)
    left = without_lone_results(left)
    return without_unanswered(left) if limits.omits_unanswered else left


def without_a_begun_row(run: Sequence[mpb.Message], before: mpb.Message | None) -> list[mpb.Message]:
    """Return a run without the rest of a row of ASSISTANT messages that began before it."""
    left = list(run)
    while left and is_one_row(before, left[0]):
        before = left.pop(0)
    return left


def without_lone_results(run: Sequence[mpb.Message]) -> list[mpb.Message]:
    """Return the messages without the results whose call is not among them."""
    left: list[mpb.Message] = []
    for message in run:
        if message.role != mpb.ROLE_TOOL or _callers(left, message.tool_call_id):
            left.append(message)
    return left


def _callers(messages: Sequence[mpb.Message], call_id: str) -> list[mpb.Message]:
    """Return the messages with a call of this id, or with any call if the id is empty."""
    return [m for m in messages if any(call_id in ("", call.id) for call in m.tool_calls)]


def without_unanswered(messages: Sequence[mpb.Message]) -> list[mpb.Message]:
    """Return the messages without those of which a call has no result, and without the results of these.

    A result may carry calls itself. If it goes, its own call may have no result any more.
    """
    owners = owners_of(messages)
    left = list(messages)
    while True:
        sequences = [message.sequence for message in left]
        answered = {owners[sequence] for sequence in sequences if sequence in owners}
        left = [m for m in left if answered.issuperset(_calls(m)) and _keeps_its_call(m, owners, sequences)]
        if len(left) == len(sequences):
            return left


def _keeps_its_call(message: mpb.Message, owners: dict[int, _Call], sequences: Sequence[int]) -> bool:
    """Return whether a message is no result, or its call's message is among some sequences."""
    return message.sequence not in owners or owners[message.sequence].sequence in sequences


def owners_of(messages: Sequence[mpb.Message]) -> dict[int, _Call]:
    """Return the call that each result belongs to, by the result's sequence.

    Each result has a call among the messages.
    """
    owners: dict[int, _Call] = {}
    for place, message in enumerate(messages):
        if message.role == mpb.ROLE_TOOL:
            earlier = [call for other in messages[:place] for call in _calls(other)]
            owners[message.sequence] = _owner(message.tool_call_id, earlier, [*owners.values()])
    return owners


def _owner(call_id: str, earlier: Sequence[_Call], answered: Sequence[_Call]) -> _Call:
    """Return the call that a result belongs to. Among the calls of one message the first is the nearest."""
    if not call_id:
        newest = [call for call in earlier if call.sequence == earlier[-1].sequence]
        return next((call for call in newest if call not in answered), newest[-1])
    named = [call for call in earlier if call.call_id == call_id]
    nearest_first = sorted(named, key=lambda call: (-call.sequence, call.index))
    return next((call for call in nearest_first if call not in answered), nearest_first[0])


def _calls(message: mpb.Message) -> list[_Call]:
    return [_Call(message.sequence, index, call.id) for index, call in enumerate(message.tool_calls)]
