"""Recorded conversations grow message by message: their windows begin with the same messages for long."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.growing import Growth
from support.recordings import CONVERSATIONS, MESSAGES, read_recordings, recorded_message
from support.reference_defaults import Defaults
from support.reference_window import window

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service import Service

AT_ONCE = 16

_LIMITS: tuple[dict[str, Any], ...] = (
    {"max_messages": 1_000, "token_budget": 1_000, "step_tokens": 250},
    {"max_messages": 1_000, "token_budget": 2_000, "step_tokens": 1_000},
    {"max_messages": 10, "step_messages": 3},
    {"max_messages": 12, "step_messages": 6, "token_budget": 1_500, "step_tokens": 500},
    {"max_messages": 1_000, "token_budget": 500, "step_tokens": 125, "whole_responses": True},
    {"max_messages": 8, "step_messages": 100, "whole_responses": True},
)


@pytest.mark.timeout(900)
async def test_the_windows_of_recordings_grow(
    service: Service, record_property: Callable[[str, object], None], capsys: Any
) -> None:
    """Each window continues the one before, byte for byte, or begins later, at most once for each step."""
    tally: Counter[str] = Counter()
    waiting = iter(enumerate(read_recordings()))

    async def worker() -> None:
        for number, recording in waiting:
            await _grow(service, recording, _LIMITS[number % len(_LIMITS)], tally)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    for name, value in tally.items():
        record_property(name, value)
    with capsys.disabled():
        print(f"\nrecordings in steps: {dict(tally)}")  # noqa: T201 - the figures, which pytest would hide
    assert (tally["conversations"], tally["messages"]) == (CONVERSATIONS, MESSAGES)
    assert CONVERSATIONS < tally["changes"] <= tally["steps"] < tally["changes without a step"]


async def _grow(
    service: Service, recording: dict[str, Any], limits: dict[str, Any], tally: Counter[str]
) -> None:
    """Append the messages of a recording, each with its window."""
    settled = Defaults({"token_budget": None}, {}).settled(spb.Session(), hpb.HistoryOptions(**limits))
    growth = Growth(settled)
    sliding = Growth(settled._replace(step_tokens=0, step_messages=0))
    stored: list[mpb.Message] = []
    name = recording["conversation_id"]
    for recorded in recording["messages"]:
        message = recorded_message(recording, recorded)
        message.pinned = message.role == mpb.ROLE_SYSTEM and all(other.pinned for other in stored)
        request = pb.AppendMessageRequest(
            session_id=name, message=message, new_session={}, history=hpb.HistoryOptions(**limits)
        )
        response = await service.stub.AppendMessage(request)
        stored.append(response.message)
        assert response.history == window(stored, settled, len(stored))
        if not message.pinned:
            growth.follow(response.history, stored)
            sliding.follow(window(stored, sliding.limits, len(stored)), stored)
    assert growth.changes <= growth.most
    tally["conversations"] += 1
    tally["messages"] += len(stored)
    for count in ("changes", "steps", "large", "held_back"):
        tally[count] += getattr(growth, count)
    tally["changes without a step"] += sliding.changes
    tally["conversations with more changes than steps"] += growth.changes > growth.steps
