"""Windows of generated conversations with odd fields, by the reference model, as the client returns them."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from sessionhistory._codec.history import decode_history
from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from support.reference_window import Limits, Summary, count_tokens, covered, window
from support.strategies import messages, talks

if TYPE_CHECKING:
    from sessionhistory.types import History

_HALF_ARGUMENTS = (
    "",
    "{",
    '{"city": "Ro',
    '{"city": "Rome", "days": [1, {"a": "b\\',
    '{"city": "Rome", "da',
    "nonsense",
    '"text"',
    "[1, 2",
    '{"n": 1e999, "m": -0.0, "u": "\\ud83d"}',
)
_ODD_IDS = ("toolu_01", "call 1", "call.1:é", "x" * 70, "call_1", "")
_PAYLOADS = (b"", b"[]", b"{}", b"[1]", b'[{"type": "text", "text": "found"}]', b'{"role": "model"}', b"\xff")
_PAYLOAD_TYPES = ("", "application/vnd.anthropic.content+json", "application/vnd.google.content+json")


@st.composite
def windows(draw: st.DrawFn) -> History:
    """Return a window of a conversation, with any limits, pins, summary and odd fields."""
    stored = draw(_conversations())
    sequences = [message.sequence for message in stored]
    summaries = [_summary(draw, stored)] if draw(st.integers(0, 2)) == 0 else []
    limits = Limits(
        max_messages=draw(st.sampled_from((1, 2, 3, 5, 9, 20, 1_000, 1_000))),
        token_budget=draw(st.sampled_from((None, None, 5, 20, 60, 300))),
        before_sequence=draw(st.sampled_from((None, None, None, *sequences[1:]))),
        include_pinned=draw(st.booleans()),
        max_turns=draw(st.sampled_from((None, None, 1, 2))),
        step_tokens=draw(st.sampled_from((0, 3, 20))),
        step_messages=draw(st.sampled_from((0, 2, 5))),
        omits_unanswered=draw(st.booleans()),
        whole_responses=draw(st.booleans()),
    )
    return decode_history(window(stored, limits, sequences[-1], summaries))


@st.composite
def _conversations(draw: st.DrawFn) -> list[mpb.Message]:
    """Return stored messages: a talk, with odd fields in some of its messages."""
    talk = draw(st.lists(talks(max_size=12) | st.lists(messages(), max_size=3), min_size=1, max_size=3))
    told = [message for part in talk for message in part] or [
        mpb.Message(role=mpb.ROLE_USER, content="hello")
    ]
    sequences = count(draw(st.sampled_from((1, 1, 7))), draw(st.sampled_from((1, 1, 2))))
    for sequence, message in zip(sequences, told, strict=False):
        if draw(st.integers(0, 4)) == 0:
            _make_odd(draw, message)
        message.sequence = sequence
        message.message_id = f"m{sequence}"
        message.status = message.status or mpb.MESSAGE_STATUS_COMPLETE
        message.token_count = count_tokens(message)
    return told


def _make_odd(draw: st.DrawFn, message: mpb.Message) -> None:
    """Give a message half arguments, odd ids, foreign payloads, or reasoning."""
    if message.tool_calls:
        message.status = mpb.MESSAGE_STATUS_INTERRUPTED
        for call in message.tool_calls:
            call.arguments = draw(st.sampled_from(_HALF_ARGUMENTS))
            call.id = draw(st.sampled_from((call.id, *_ODD_IDS)))
    elif message.role == mpb.ROLE_TOOL:
        message.tool_call_id = draw(st.sampled_from((message.tool_call_id, *_ODD_IDS)))
    else:
        message.pinned = draw(st.booleans())
    if message.role == mpb.ROLE_ASSISTANT:
        message.payload = draw(st.sampled_from(_PAYLOADS))
        message.payload_type = draw(st.sampled_from(_PAYLOAD_TYPES))
        message.parts.add(reasoning=mpb.Reasoning(text="I think.", signature="c2ln"))


def _summary(draw: st.DrawFn, stored: list[mpb.Message]) -> Summary:
    """Return a summary of the first messages."""
    through = draw(st.sampled_from([message.sequence for message in stored]))
    role = draw(st.sampled_from((mpb.ROLE_SYSTEM, mpb.ROLE_USER, mpb.ROLE_ASSISTANT)))
    message = mpb.Message(role=role, content="In short.", sequence=through, token_count=2)
    message.status = mpb.MESSAGE_STATUS_COMPLETE
    covers = hpb.HistorySummary(through_sequence=through, message_count=len(covered(stored, through)))
    return Summary(message, message, covers)
