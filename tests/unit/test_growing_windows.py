"""The reference model's windows of a session that only grows: their beginning moves once for each step."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from support.growing import Growth
from support.reference_window import Limits, Summary, window
from support.strategies_tools import rounds_of_tools, rows

QUICK = settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

_LIMITS: dict[str, st.SearchStrategy[Any]] = {
    "step_messages": st.integers(0, 12),
    "token_budget": st.integers(0, 120),
    "step_tokens": st.integers(0, 80),
    "whole_responses": st.booleans(),
}
_limits = st.fixed_dictionaries({"max_messages": st.integers(0, 20) | st.just(1_000)}, optional=_LIMITS).map(
    lambda drawn: Limits(**drawn)
)
_plain = st.builds(lambda: [mpb.Message(role=mpb.ROLE_USER)])
_parts = st.lists(rounds_of_tools() | rows() | _plain, min_size=1, max_size=12)
_sizes = st.lists(st.integers(0, 20) | st.integers(0, 100), min_size=1, max_size=20)


def _placed(messages: list[mpb.Message]) -> list[mpb.Message]:
    """Give messages their sequences."""
    for sequence, message in enumerate(messages, start=1):
        message.sequence = sequence
    return messages


def _follow(stored: list[mpb.Message], begun: int, limits: Limits, summaries: list[Summary]) -> Growth:
    """Check the windows of the messages, one appended after the other, from a number of messages on."""
    growth = Growth(limits)
    for last in range(begun, len(stored) + 1):
        growth.follow(window(stored[:last], limits, last, summaries), stored[:last])
    return growth


@QUICK
@given(
    pins=st.integers(0, 2),
    covered=st.integers(0, 6),
    parts=_parts,
    sizes=_sizes,
    limits=_limits,
    max_turns=st.none() | st.integers(0, 4),
)
def test_the_beginning_never_goes_back(
    pins: int,
    covered: int,
    parts: list[list[mpb.Message]],
    sizes: list[int],
    limits: Limits,
    max_turns: int | None,
) -> None:
    """Each window continues the one before, or begins later, with any messages and limits."""
    talk = [message for part in parts for message in part]
    for message, size in zip(talk, itertools.cycle(sizes), strict=False):
        message.token_count = size
    pinned = [mpb.Message(role=mpb.ROLE_SYSTEM, pinned=True, token_count=3) for _ in range(pins)]
    stored = _placed([*pinned, *talk])
    begun = pins + covered
    summaries = [_summary(begun)] if covered else []
    growth = _follow(stored, begun, limits, summaries)
    assert growth.changes <= growth.most
    event(f"changes: {growth.changes > 0}")
    _follow(stored, begun, limits._replace(max_turns=max_turns), summaries)


@QUICK
@given(
    sizes=st.lists(st.integers(0, 10), min_size=1, max_size=60),
    max_messages=st.integers(2, 20),
    step_messages=st.integers(1, 12),
    budget=st.integers(20, 120),
    step_tokens=st.integers(10, 80),
)
def test_the_beginning_moves_at_most_once_for_each_step(
    sizes: list[int], max_messages: int, step_messages: int, budget: int, step_tokens: int
) -> None:
    """Plain messages that are not larger than a step move the beginning only when a limit passes a step."""
    stored = _placed([mpb.Message(role=mpb.ROLE_USER, token_count=size) for size in sizes])
    limits = Limits(
        max_messages, budget, step_messages=step_messages, step_tokens=step_tokens, whole_responses=True
    )
    growth = _follow(stored, 0, limits, [])
    assert growth.large == growth.held_back == 0
    assert growth.changes <= growth.steps


def _summary(through: int) -> Summary:
    """Return a summary of a few messages through a sequence."""
    message = mpb.Message(role=mpb.ROLE_SYSTEM, token_count=4, sequence=through)
    return Summary(message, message, hpb.HistorySummary(through_sequence=through))
