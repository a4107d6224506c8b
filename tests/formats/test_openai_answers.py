"""Answers of OpenAI's APIs, stored and sent back: with items of all kinds, in any order, cut and edited."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from formats_facts import facts
from formats_support import module, without_ids
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionhistory.formats import Unanswered
from sessionhistory.types import Message, MessageStatus, Role

if TYPE_CHECKING:
    from collections.abc import Callable

_SETTINGS = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
_TEXTS = st.sampled_from(("Hi", "24 degrees.", "Grüße", ""))
_IDS = st.sampled_from(("call_1", "call_2", "call_3", "c" * 70))
_NAMES = st.sampled_from(("weather", "a.b", "größe"))
_INPUTS = st.sampled_from(("1", '"Hi"'))  # the facts of an interrupted call are those of JSON
_ARGUMENTS = st.sampled_from(("{}", '{"city": "Rome"}', '{"city": "Ro', ""))
_NUMBERS = st.integers(1, 4)


def _item(draw: st.DrawFn) -> dict[str, Any]:
    """Return an item of an answer of the Responses API."""
    number = draw(_NUMBERS)
    call = {"call_id": draw(_IDS), "name": draw(_NAMES)}
    content = [{"type": "output_text", "text": draw(_TEXTS), "annotations": []}]
    return draw(
        st.sampled_from(
            (
                {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "gAAA"},
                {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content},
                {"type": "function_call", "id": f"fc_{number}", "arguments": draw(_ARGUMENTS)} | call,
                {"type": "custom_tool_call", "id": f"ctc_{number}", "input": draw(_INPUTS)} | call,
                {"type": "shell_call", "call_id": draw(_IDS), "action": {"commands": ["ls"]}},
                {"type": "web_search_call", "id": f"ws_{number}", "status": "completed"},
            )
        )
    )


def _response(draw: st.DrawFn) -> dict[str, Any]:
    output = [_item(draw) for _ in range(draw(st.integers(0, 5)))]
    return {"status": draw(st.sampled_from(("completed", "incomplete"))), "model": "m", "output": output}


def _completion(draw: st.DrawFn) -> dict[str, Any]:
    """Return an answer of the Chat Completions API."""
    message: dict[str, Any] = {"role": "assistant", "content": draw(st.none() | _TEXTS)}
    for name in ("refusal", "reasoning_content"):
        message[name] = draw(st.none() | _TEXTS)
    for _ in range(draw(st.integers(0, 3))):
        function = {"name": draw(_NAMES), "arguments": draw(_ARGUMENTS)}
        call = {"id": draw(_IDS), "type": "function", "function": function}
        custom = {
            "id": draw(_IDS),
            "type": "custom",
            "custom": {"name": draw(_NAMES), "input": draw(_INPUTS)},
        }
        message.setdefault("tool_calls", []).append(draw(st.sampled_from((call, custom))))
    reason = draw(st.sampled_from(("stop", "length", "tool_calls")))
    return {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}


_ANSWERS: dict[str, Callable[[st.DrawFn], dict[str, Any]]] = {
    "openai_chat": _completion,
    "openai_responses": _response,
}


@st.composite
def _conversations(draw: st.DrawFn, name: str) -> list[Message]:
    """Return stored answers, with results, questions between them, and edits of the text."""
    told: list[Message] = []
    for _ in range(draw(st.integers(1, 4))):
        (answer,) = module(name).from_response(_ANSWERS[name](draw))
        if draw(st.integers(0, 5)) == 0:
            answer = replace(answer, content="Edited")
        told.append(answer)
        calls = draw(st.permutations(answer.tool_calls))[draw(st.sampled_from((0, 0, 1))) :]
        told += [Message(role=Role.TOOL, tool_call_id=call.id, content=draw(_TEXTS)) for call in calls]
        if draw(st.booleans()):
            told.insert(draw(st.integers(0, len(told))), Message(role=Role.USER, content="And?"))
    return [replace(message, sequence=place) for place, message in enumerate(told, start=1)]


@pytest.mark.parametrize("name", _ANSWERS)
@_SETTINGS
@given(data=st.data(), unanswered=st.sampled_from(Unanswered))
def test_stored_answers_are_an_accepted_request(
    name: str, data: st.DataObject, unanswered: Unanswered
) -> None:
    """Stored answers make a request that breaks no rule, loses nothing, and converts back to itself."""
    form = module(name)
    told = data.draw(_conversations(name))
    request = json.loads(json.dumps(form.to_request(told, unanswered=unanswered)))
    assert form.violations(request) == []
    back = form.from_request(request)
    without_ids(back)
    assert _joined(back, unanswered) == _joined(told, unanswered)
    assert form.to_request(back, unanswered=unanswered) == request


def _joined(messages: list[Message], unanswered: Unanswered) -> tuple[Any, ...]:
    """Return the facts, with the texts of the model as one: several texts of an answer are one content."""
    found = facts(messages, unanswered)
    return "\n\n".join(found.models), found.users, found.calls


@pytest.mark.parametrize("name", _ANSWERS)
@_SETTINGS
@given(data=st.data())
def test_an_answered_answer_is_sent_verbatim(name: str, data: st.DataObject) -> None:
    """An answer that needs no repair is sent as the provider gave it."""
    form = module(name)
    (answer,) = form.from_response(_ANSWERS[name](data.draw))
    results = [Message(role=Role.TOOL, tool_call_id=call.id, content="found") for call in answer.tool_calls]
    own = json.loads(answer.payload or "[]")
    items = own if isinstance(own, list) else [own]
    ((key, made),) = form.to_request([answer, *results]).items()
    expected = {key: items + made[len(made) - len(results) :]}
    if form.violations(expected) or _is_altered(answer, items):
        return
    assert {key: made} == expected


def _is_altered(answer: Message, items: list[dict[str, Any]]) -> bool:
    """Return whether there is a reason to alter an answer that breaks no rule."""
    unfinished = answer.status is MessageStatus.INTERRUPTED and answer.tool_calls
    has_other_calls = any(item.get("type") == "shell_call" for item in items)
    says_nothing = not answer.content and not answer.tool_calls
    return bool(unfinished) or has_other_calls or says_nothing
