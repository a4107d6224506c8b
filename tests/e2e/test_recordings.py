"""Recorded conversations are replayed as live chats: each byte is returned, each window is right."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.recordings import CONVERSATIONS, MESSAGES, read_recordings, recorded_message
from support.reference_defaults import Defaults
from support.reference_window import Limits, count_tokens, window
from support.talk import KEEP, OMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service import Service

AT_ONCE = 16

# The lengths of these lists have no common factor with the others, so that all combinations come up.
_MAX_MESSAGES = (None, 0, 1, 2, 3, 5, 8, 13, 21, 40, 1_000)
_TOKEN_BUDGETS = (None, 0, 50, 200, 500, 1_000, 3_000, 10_000, 2_000_000_000)
_BEFORE = (None, None, 1.0, 0.9, 0.5, 0.25, 0.0)
_INCLUDE_PINNED = (None, True, False, None, True)
_STEP_TOKENS = (None, 0, 10, 100, 250, 1_000, 2_500, 2_000_000_000)
_STEP_MESSAGES = (None, 0, 1, 2, 3, 5, 7, 10, None, 0, 20, 500, 2_000_000_000)
_UNANSWERED = (None, OMIT, KEEP)
_WHOLE = (None, True, False)
_SESSION = spb.Session()
_DEFAULTS = Defaults({"max_messages": 20, "token_budget": None}, {})


@dataclass
class Tally:
    """How many things were compared."""

    conversations: int = 0
    messages: int = 0
    windows: int = 0
    cuts: dict[str, int] = field(default_factory=dict)
    moved_by_steps: int = 0
    left_out: int = 0
    pinned_kept: int = 0


@pytest.fixture(scope="module")
def recordings() -> list[dict[str, Any]]:
    """All recorded conversations, in the file's order."""
    return read_recordings()


async def test_recorded_conversations_live(
    service: Service,
    recordings: list[dict[str, Any]],
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each appended message comes back unchanged, and each window is the reference model's."""
    tally, waiting = Tally(), iter(enumerate(recordings))

    async def worker() -> None:
        for number, recording in waiting:
            await _Chat(service, recording, number, tally).run()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    for name, value in vars(tally).items():
        record_property(name, value)
    with capsys.disabled():
        print(f"\nrecordings: {tally}")  # noqa: T201 - the numbers of the replay, which pytest would hide
    assert (tally.conversations, tally.messages) == (CONVERSATIONS, MESSAGES)
    assert tally.windows >= 2 * MESSAGES
    assert set(tally.cuts) == {"HISTORY_CUT_NONE", "HISTORY_CUT_MAX_MESSAGES", "HISTORY_CUT_TOKEN_BUDGET"}
    assert min(tally.left_out, tally.pinned_kept, tally.moved_by_steps) > 500


class _Chat:
    """One conversation that is replayed against the service."""

    def __init__(self, service: Service, recording: dict[str, Any], number: int, tally: Tally) -> None:
        self._stub = service.stub
        self._recording = recording
        self._session_id = recording["conversation_id"]
        self._user_id = recording["user_id"]
        self._tally = tally
        # Each chat starts at another place of the cycles.
        self._turns = count(number * 17)
        self._pins = number % 3 > 0
        self._stored: list[mpb.Message] = []

    async def run(self) -> None:
        """Append every message, read windows in between, and list all messages in the end."""
        sent = [self._message(recorded) for recorded in self._recording["messages"]]
        for message in sent:
            turn = next(self._turns)
            request = self._append_request(message, turn)
            response = await self._stub.AppendMessage(request)
            self._check_append(request, response)
            if turn % 11 == 0:
                again = await self._stub.AppendMessage(request)
                assert (again.message, again.session_created) == (response.message, False)
                assert again.history == response.history
            await self._check_window(turn)
        await self._check_list(sent)
        self._tally.conversations += 1

    def _message(self, recorded: dict[str, Any]) -> mpb.Message:
        message = recorded_message(self._recording, recorded)
        message.pinned = self._pins and recorded["role"] == "system"
        # Real callers pin facts too, so some short messages without a tool are pinned.
        plain = recorded["role"] in ("user", "assistant") and not recorded["tool_calls"]
        if self._pins and plain and len(recorded["content"]) % 47 == 0:
            message.pinned = True
        return message

    def _append_request(self, message: mpb.Message, turn: int) -> pb.AppendMessageRequest:
        sequence = len(self._stored) + 1
        message.message_id = f"{self._session_id}/{sequence}"
        request = pb.AppendMessageRequest(session_id=self._session_id, message=message)
        if sequence == 1 or turn % 2:
            request.user_id = self._user_id
            request.new_session.title = self._recording["title"] or ""
        if turn % 3 == 0:
            request.expected_last_sequence = sequence - 1
        if turn % 5 < 3:
            request.history.CopyFrom(hpb.HistoryOptions(**_limits(turn + 1)))
        return request

    def _check_append(self, request: pb.AppendMessageRequest, response: pb.AppendMessageResponse) -> None:
        expected = mpb.Message()
        expected.CopyFrom(request.message)
        expected.sequence = len(self._stored) + 1
        expected.token_count = count_tokens(request.message)
        expected.status = mpb.MESSAGE_STATUS_COMPLETE
        expected.create_time.CopyFrom(response.message.create_time)
        _same_bytes(response.message, expected)
        assert expected.create_time.seconds > 0
        self._stored.append(expected)
        assert (response.session_id, response.session_created) == (
            self._session_id,
            expected.sequence == 1,
        )
        assert (response.last_sequence, response.message_count) == (expected.sequence, expected.sequence)
        assert response.total_tokens == sum(message.token_count for message in self._stored)
        assert response.HasField("history") == request.HasField("history")
        if request.HasField("history"):
            self._compare(response.history, _DEFAULTS.settled(_SESSION, request.history))
        self._tally.messages += 1

    async def _check_window(self, turn: int) -> None:
        for shift in range(1 + turn % 2):
            request = pb.GetHistoryRequest(session_id=self._session_id, **_limits(turn * 2 + shift))
            part = _BEFORE[(turn + shift) % len(_BEFORE)]
            if part is not None:
                request.before_sequence = 1 + int(part * len(self._stored))
            response = await self._stub.GetHistory(request)
            self._compare(response.history, _DEFAULTS.settled(_SESSION, request))

    def _compare(self, actual: hpb.History, limits: Limits) -> None:
        expected = window(self._stored, limits, len(self._stored))
        _same_bytes(actual, expected)
        self._tally.windows += 1
        cut = hpb.HistoryCut.Name(actual.cut)
        self._tally.cuts[cut] = self._tally.cuts.get(cut, 0) + 1
        self._tally.pinned_kept += any(message.pinned for message in actual.messages)
        sliding = window(self._stored, limits._replace(step_tokens=0, step_messages=0), len(self._stored))
        self._tally.moved_by_steps += len(sliding.messages) > len(actual.messages)
        # Without a step, a run that the maximum of messages cuts has as many messages as that allows.
        is_full = len(sliding.messages) == limits.max_messages
        self._tally.left_out += sliding.cut == hpb.HISTORY_CUT_MAX_MESSAGES and not is_full

    async def _check_list(self, sent: list[mpb.Message]) -> None:
        request = pb.ListMessagesRequest(session_id=self._session_id, user_id=self._user_id, page_size=37)
        listed: list[mpb.Message] = []
        while True:
            response = await self._stub.ListMessages(request)
            listed += response.messages
            if not response.next_page_token:
                break
            request.page_token = response.next_page_token
        assert len(listed) == len(sent)
        for actual, expected in zip(listed, self._stored, strict=True):
            _same_bytes(actual, expected)
        times = [message.create_time.ToNanoseconds() for message in listed]
        assert all(earlier <= later for earlier, later in pairwise(times))


def _limits(turn: int) -> dict[str, Any]:
    """Return the limits of a turn; most lengths of the cycles have no common factor."""
    chosen = {
        "max_messages": _MAX_MESSAGES[turn % len(_MAX_MESSAGES)],
        "token_budget": _TOKEN_BUDGETS[turn % len(_TOKEN_BUDGETS)],
        "include_pinned": _INCLUDE_PINNED[turn % len(_INCLUDE_PINNED)],
        "step_tokens": _STEP_TOKENS[turn % len(_STEP_TOKENS)],
        "step_messages": _STEP_MESSAGES[turn % len(_STEP_MESSAGES)],
        "unanswered_calls": _UNANSWERED[turn // 7 % len(_UNANSWERED)],
        "whole_responses": _WHOLE[turn // 3 % len(_WHOLE)],
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _same_bytes(actual: Any, expected: Any) -> None:
    if actual.SerializeToString(deterministic=True) != expected.SerializeToString(deterministic=True):
        assert actual == expected
        pytest.fail("equal, but not byte for byte")
