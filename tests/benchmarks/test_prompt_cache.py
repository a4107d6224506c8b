"""The benchmark's row on prompt caches counts what it says, and its picture is the one of the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.errors import SkippedError
from benchmarks.load import conversations
from benchmarks.measurement import Target
from benchmarks.report import windows
from benchmarks.rows import prompt_cache
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.reference import Reference
from support.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

_ABSENT = "/nonexistent/conversations.jsonl.gz"


def _prompt(*sequences: int) -> list[mpb.Message]:
    """Return messages whose token counts are powers of two, so that a sum names its messages."""
    return [mpb.Message(sequence=number, token_count=2**number) for number in sequences]


@pytest.mark.parametrize(
    ("prompts", "new"),
    [
        ([], []),
        ([(0, 1)], [0b11]),
        ([(0,), (0, 1, 2), (0, 1, 2)], [0b1, 0b110, 0]),
        ([(0, 1, 2), (1, 2, 3), (1, 2, 3, 4)], [0b111, 0b1110, 0b10000]),
        ([(0, 1, 2), (0, 2)], [0b111, 0b100]),
        ([(0, 1), (), (0, 1)], [0b11, 0, 0b11]),
    ],
)
def test_new_tokens(prompts: list[tuple[int, ...]], new: list[int]) -> None:
    """New are the tokens behind the beginning that a prompt has in common with the previous one."""
    assert prompt_cache.new_tokens(_prompt(*prompt) for prompt in prompts) == new


def test_a_changed_message_is_new() -> None:
    """A message in the same place with another content ends the common beginning."""
    first, second = _prompt(0, 1, 2), _prompt(0, 1, 2)
    second[1].content = "changed"

    assert prompt_cache.new_tokens([first, second]) == [0b111, 0b110]


@pytest.mark.parametrize(
    ("target", "ratio", "status"),
    [
        (Target(0.65, aim=0.55, at_most=True), 0.55, "aim reached"),
        (Target(0.65, aim=0.55, at_most=True), 0.56, "met"),
        (Target(0.65, aim=0.55, at_most=True), 0.66, "missed"),
        (Target(0.55, aim=0.7), 0.7, "aim reached"),
        (Target(0.55, aim=0.7), 0.69, "met"),
        (Target(0.55, aim=0.7), 0.54, "missed"),
        (Target(1.2, at_most=True), 0, "met"),
    ],
)
def test_targets_in_both_directions(target: Target, ratio: float, status: str) -> None:
    """A target and its aim are the least, or with `at_most` the most."""
    assert target.status(ratio) == status


def test_conversations_without_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made conversations outgrow every budget, and each of their calls has its result behind it."""
    monkeypatch.setenv("SESSION_HISTORY_RECORDINGS", _ABSENT)
    made, source = conversations.recorded()

    assert source == "made conversations"
    assert made == conversations.recorded()[0]
    assert sum(_characters(messages) > 4 * 8_000 for messages in made) >= 5
    for messages in made:
        calls = [call.id for message in messages for call in message.tool_calls]
        assert calls == [message.tool_call_id for message in messages if message.role == mpb.ROLE_TOOL]
        assert len(set(calls)) == len(calls)


def _characters(messages: Sequence[mpb.Message]) -> int:
    return sum(len(message.content) for message in messages)


class _Model:
    """The service, and what the row needs of the benchmark; the reference model answers."""

    def __init__(self) -> None:
        self._reference = Reference()
        self.service = self
        self.scale = self
        self.conversations = 3
        self.progress: list[float] = []
        self.on_progress = self.progress.append

    def ask(self, request: Any) -> Any:
        return self._reference.call(type(request).__name__.removesuffix("Request"), request)


def test_the_row_counts_windows_before_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of the row are those of a slow count over the windows of the reference model."""
    monkeypatch.setenv("SESSION_HISTORY_RECORDINGS", _ABSENT)
    model: Any = _Model()
    (row,) = prompt_cache.ROWS

    (found,) = row.run(model)

    longest = sorted(conversations.made(), key=_characters)[-3:]
    for name, budget, step in (
        ("2,000, sliding", 2_000, 0),
        ("2,000, steps of 500", 2_000, 500),
        ("8,000, steps of 4,000", 8_000, 4_000),
    ):
        counted = [count for messages in longest for count in _counts(messages, budget, step)]
        assert found.others[name] == sum(counted) / len(counted)
    quarters = [found.others[f"{budget:,}, steps of {budget // 4:,}"] for budget in (2_000, 4_000, 8_000)]
    assert found.measured**3 == pytest.approx(quarters[0] * quarters[1] * quarters[2])
    assert model.progress[-1] == 1


def _counts(messages: Sequence[mpb.Message], budget: int, step: int) -> list[int]:
    """Return the new tokens of each prompt, by comparing all beginnings with those of the previous prompt."""
    reference, counts, before = Reference(), [], []
    stored = pb.AppendMessagesRequest(session_id="s", new_session=spb.SessionFields(), messages=messages)
    reference.call("AppendMessages", stored)
    for sequence, message in enumerate(messages, start=1):
        if message.role != mpb.ROLE_ASSISTANT:
            continue
        asked = pb.GetHistoryRequest(
            session_id="s",
            before_sequence=sequence,
            max_messages=1_000,
            token_budget=budget,
            step_tokens=step,
        )
        window = reference.call("GetHistory", asked).history.messages
        same = max(n for n in range(len(window) + 1) if window[:n] == before[:n])
        counts.append(sum(m.token_count for m in window[same:]))
        before = window
    return counts


def test_no_conversation_outgrows_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a long conversation the row is skipped."""
    short = [mpb.Message(role=mpb.ROLE_USER), mpb.Message(role=mpb.ROLE_ASSISTANT)]
    monkeypatch.setattr(conversations, "recorded", lambda: ([short], "short ones"))
    (row,) = prompt_cache.ROWS
    model: Any = _Model()

    with pytest.raises(SkippedError, match="no conversation outgrows 2,000 tokens"):
        next(row.run(model))


def test_the_picture_is_current() -> None:
    """The picture of the documents is the one that the program draws."""
    assert (ROOT / "docs" / "prompt-caching.svg").read_text() == windows.picture()
