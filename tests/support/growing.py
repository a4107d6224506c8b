"""Successive windows of a session that only grows: they begin with the same messages as long as they can."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sessionhistory.v1 import message_pb2 as mpb
from support.reference_run import half_at_most, is_one_row, multiple_from, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory.v1 import history_pb2 as hpb
    from support.reference_window import Limits


class Growth:
    """The windows of a session with fixed limits, to which unpinned messages are appended one by one."""

    def __init__(self, limits: Limits) -> None:
        self.changes = 0
        """How often the first message of the run has changed."""
        self.steps = 0
        """How often a limit has passed a multiple of its step."""
        self.large = 0
        """How many messages were larger than a step: a run begins with one while it fits, and then behind."""
        self.held_back = 0
        """How many rows of results followed a start: a step does not cut that away while it is the newest."""
        self.limits = limits
        self._window: hpb.History | None = None
        self._boundaries: list[int] = []

    @property
    def most(self) -> int:
        """How often the first message may have changed."""
        return self.steps + self.large + self.held_back

    def follow(self, window: hpb.History, stored: Sequence[mpb.Message]) -> None:
        """Check the window after an append, or the first window. ``stored`` are all messages."""
        if self._window is not None:
            self._check(self._window, window)
            self._count(window, stored)
        self._boundaries = self._boundaries_of(window, stored)
        self._window = window

    def _check(self, before: hpb.History, window: hpb.History) -> None:
        """Check that a window continues the one before, or begins later and has nothing else of it."""
        run_before, run = _run(before), _run(window)
        new = [message for message in window.messages if message.sequence > before.last_sequence]
        if not run_before:
            assert [m.sequence for m in run] == [m.sequence for m in new]
        elif run and run[0].sequence == run_before[0].sequence:
            _same_bytes(window.messages, [*before.messages, *new])
        else:
            self.changes += 1
            first = run[0].sequence if run else window.last_sequence + 1
            assert first > run_before[0].sequence
            still = {message.sequence for message in window.messages}
            _same_bytes(window.messages, [*(m for m in before.messages if m.sequence in still), *new])

    def _count(self, window: hpb.History, stored: Sequence[mpb.Message]) -> None:
        """Count what may move the beginning."""
        boundaries = self._boundaries_of(window, stored)
        self.steps += sum(old != new for old, new in zip(self._boundaries, boundaries, strict=True))
        newest = stored[-1]
        if self.limits.token_budget is not None:
            room = self.limits.token_budget - tokens(m for m in window.messages if m not in _run(window))
            self.large += newest.token_count > half_at_most(self.limits.step_tokens, room)
        starts = [self._is_start(before, message) for before, message in pairwise([None, *stored[-3:]])]
        self.held_back += starts[-2:] == [True, False]

    def _is_start(self, before: mpb.Message | None, message: mpb.Message) -> bool:
        inside = self.limits.whole_responses and is_one_row(before, message)
        return message.role != mpb.ROLE_TOOL and not inside

    def _boundaries_of(self, window: hpb.History, stored: Sequence[mpb.Message]) -> list[int]:
        """Return the multiple at or behind which each limit lets the run begin; 0: it does not cut."""
        summary = window.summary.through_sequence
        first = [m for m in window.messages if m.pinned or m.sequence == summary]
        unpinned = [message for message in stored if not message.pinned]
        candidates = [message for message in unpinned if message.sequence > summary]
        most = self.limits.max_messages - len(first)
        boundaries = [0, 0]
        if len(candidates) > most > 0:
            step = half_at_most(self.limits.step_messages, most)
            boundaries[0] = multiple_from(candidates[-most].sequence, step)
        if self.limits.token_budget is not None:
            room = self.limits.token_budget - tokens(first)
            if tokens(candidates) > room:
                step = half_at_most(self.limits.step_tokens, room)
                boundaries[1] = multiple_from(tokens(unpinned) - room, step)
        return boundaries


def _run(window: hpb.History) -> list[mpb.Message]:
    summary = window.summary.through_sequence
    return [m for m in window.messages if not m.pinned and m.sequence != summary]


def _same_bytes(actual: Sequence[mpb.Message], expected: Sequence[mpb.Message]) -> None:
    """Require the same messages, byte for byte."""
    assert [m.SerializeToString(deterministic=True) for m in actual] == [
        m.SerializeToString(deterministic=True) for m in expected
    ]
