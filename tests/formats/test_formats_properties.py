"""Every window of every conversation converts to a request that the API accepts, and back."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from formats_facts import facts
from formats_support import FORMATS, module, without_ids
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionhistory._codec.history import decode_history
from sessionhistory.formats import Unanswered
from sessionhistory.types import Message, Role, ToolCall
from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from support import strategies
from support.recordings import recordings_path
from support.reference_window import Limits, count_tokens, window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sessionhistory.types import History

_SETTINGS = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
_NAMES = ("role", "content", "type", "tool_calls", "id", "call_id", "function", "output", "summary", "parts")
_ARGUMENTS = ('{"city": "Zürich", "days": [1, 2, {"at": "no', '{"a": "\\u00e', '{"a', "[", "nonsense", "")


@st.composite
def _talks(draw: st.DrawFn) -> list[mpb.Message]:
    """Return a conversation: tools in all shapes, any fields, interrupted calls."""
    told = draw(st.lists(strategies.messages(), max_size=8) | strategies.tool_talks(max_size=16))
    for message in told:
        if message.tool_calls and draw(st.integers(0, 4)) == 0:
            message.status = mpb.MESSAGE_STATUS_INTERRUPTED
            message.tool_calls[-1].arguments = draw(st.sampled_from(_ARGUMENTS))
    return _stored(told)


def _stored(told: Sequence[mpb.Message]) -> list[mpb.Message]:
    """Return messages with sequences and token counts, as the server stores them."""
    for sequence, message in enumerate(told, start=1):
        message.sequence = sequence
        message.status = message.status or mpb.MESSAGE_STATUS_COMPLETE
        message.pinned = message.pinned and not message.tool_calls and message.role != mpb.ROLE_TOOL
        message.token_count = count_tokens(message)
    return list(told)


@st.composite
def _windows(draw: st.DrawFn) -> History:
    """Return a window of a conversation, with any limits and options."""
    told = draw(_talks())
    shown = draw(strategies.limits)
    shown["omits_unanswered"] = shown.pop("unanswered_calls", 0) == hpb.UNANSWERED_CALLS_OMIT
    limits = Limits(**({"max_messages": 1_000} | shown))
    return decode_history(window(told, limits, len(told)))


@pytest.mark.parametrize("name", FORMATS)
@_SETTINGS
@given(history=_windows(), unanswered=st.sampled_from(Unanswered))
def test_a_window_is_an_accepted_request(name: str, history: History, unanswered: Unanswered) -> None:
    """A window makes a request that breaks no rule and loses nothing, and that converts back to itself."""
    _check(name, history, unanswered)


@pytest.mark.parametrize("name", FORMATS)
@_SETTINGS
@given(told=_talks(), unanswered=st.sampled_from(Unanswered))
def test_any_messages_are_an_accepted_request(
    name: str, told: list[mpb.Message], unanswered: Unanswered
) -> None:
    """Messages that are no window make such a request too, also if they begin with results."""
    messages = decode_history(hpb.History(messages=told)).messages
    _check(name, messages, unanswered)


def _check(name: str, source: History | Sequence[Message], unanswered: Unanswered) -> None:
    form = module(name)
    request = json.loads(json.dumps(form.to_request(source, unanswered=unanswered)))
    assert form.violations(request) == []
    back = form.from_request(request)
    without_ids(back)  # the client can send them
    assert facts(back, unanswered, name) == facts(source, unanswered, name)
    assert form.to_request(back, unanswered=unanswered) == request


@pytest.mark.parametrize("name", FORMATS)
@_SETTINGS
@given(told=_talks())
def test_the_prefix_stays(name: str, told: list[mpb.Message]) -> None:
    """A new turn changes nothing of the request before it, if no call is open."""
    messages = list(decode_history(hpb.History(messages=told)).messages)
    question = Message(role=Role.USER, content="And then?", sequence=len(told) + 1)
    rest = [
        Message(role=Role.ASSISTANT, tool_calls=(ToolCall(name="find", id="c"),), sequence=len(told) + 2),
        Message(role=Role.TOOL, tool_call_id="c", content="found", sequence=len(told) + 3),
    ]
    form = module(name)
    before = _flat(form.to_request([*messages, question]))
    after = _flat(form.to_request([*messages, question, *rest]))
    assert after[: len(before)] == before


_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.sampled_from(("assistant", "user", "tool", "function", "text", "a")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
)


@pytest.mark.parametrize("name", FORMATS)
@_SETTINGS
@given(told=st.lists(_ANY, max_size=4))
def test_a_validator_reads_anything(name: str, told: list[Any]) -> None:
    """A request of any shape has violations or none, but is no error of the validator."""
    for key in ("messages", "input", "contents"):
        assert isinstance(module(name).violations({key: told}), list)
        assert isinstance(module(name).violations({key: {"role": told}}), list)


@pytest.mark.parametrize("name", FORMATS)
@_SETTINGS
@given(told=_ANY, depth=st.sampled_from((0, 1, 400, 900)))
def test_a_payload_of_any_shape(name: str, told: Any, depth: int) -> None:
    """A payload that has not the form of its type is no error, and is not sent."""
    form = module(name)
    payload = json.dumps(told).encode()
    for at in ("[%s]", '{"role": "assistant", "content": %s}', '{"parts": %s}', '{"parts": [%s]}'):
        nested = b"[" * depth + at.encode().replace(b"%s", payload) + b"]" * depth
        answer = Message(role=Role.ASSISTANT, content="a", payload=nested, payload_type=form.PAYLOAD_TYPE)
        request = form.to_request([Message(role=Role.USER, content="q"), answer])
        assert form.violations(request) == []


def _flat(request: Any) -> list[str]:
    """Return the items of a request's lists, in the order in which a model reads them."""
    names = ("system", "systemInstruction", "messages", "input", "contents")
    return [json.dumps(item) for name in names for item in request.get(name) or ()]


@pytest.mark.parametrize("name", FORMATS)
def test_recorded_conversations(name: str) -> None:
    """Each recorded conversation converts, and windows of several lengths."""
    count = 0
    for messages in _recorded():
        for length in (len(messages), 7):
            limits = Limits(max_messages=length)
            history = decode_history(window(messages, limits, len(messages)))
            _check(name, history, Unanswered.OMIT if length == 7 else Unanswered.MARKER)
            count += 1
    assert count


def _recorded() -> Iterator[list[mpb.Message]]:
    with gzip.open(recordings_path(), "rt") as lines:
        for line in lines:
            told = json.loads(line)["messages"]
            yield _stored([_message(one) for one in told])


def _message(told: dict[str, Any]) -> mpb.Message:
    return mpb.Message(
        role=mpb.Role.Value(f"ROLE_{told['role'].upper()}"),
        content=told["content"],
        tool_calls=[mpb.ToolCall(**call) for call in told.get("tool_calls") or ()],
        tool_call_id=told.get("tool_call_id") or "",
    )
