"""Answers of Anthropic and Gemini, stored, sent back and streamed: with blocks of all kinds, in any order."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from formats_support import module, without_ids
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionhistory.formats import Unanswered
from sessionhistory.types import Message, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypothesis.strategies import DrawFn

_SETTINGS = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
_TEXTS = st.sampled_from(("Hi", "24 degrees.", "Grüße", " ", "two\nlines "))
_INPUTS = st.sampled_from(({}, {"city": "Rome"}, {"n": 1.5, "list": [1, {"a": None}], "é": "\u2028"}))
_REASONS = {"anthropic": ("end_turn", "tool_use", "max_tokens", "refusal"), "gemini": ("STOP", "MAX_TOKENS")}
_USAGES = {
    "anthropic": {"input_tokens": 3, "output_tokens": 7, "cache_read_input_tokens": 5},
    "gemini": {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 2},
}


def _blocks(draw: DrawFn) -> list[dict[str, Any]]:
    """Return blocks of an answer of Anthropic's."""
    made: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 5))):
        text = {"type": "text", "text": draw(_TEXTS)}
        call = {
            "type": "tool_use",
            "id": f"toolu_{draw(st.integers(0, 3))}",
            "name": "find",
            "input": draw(_INPUTS),
        }
        searched = {"type": "web_search_tool_result", "tool_use_id": f"srvtoolu_{number}", "content": []}
        searching = {
            "type": "server_tool_use",
            "id": f"srvtoolu_{number}",
            "name": "web_search",
            "input": {"q": "a"},
        }
        kinds: tuple[list[dict[str, Any]], ...] = (
            [text],
            [text | {"citations": [{"type": "char_location", "cited_text": "a"}]}],
            [{"type": "thinking", "thinking": draw(_TEXTS), "signature": "c2ln"}],
            [{"type": "thinking", "thinking": "", "signature": "c2ln"}],
            [{"type": "redacted_thinking", "data": "ZW5j"}],
            [call],
            [searching, searched],
        )
        made += draw(st.sampled_from(kinds))
    return made


def _parts(draw: DrawFn) -> list[dict[str, Any]]:
    """Return parts of an answer of Gemini's. Texts in a row are one part, as outside of a stream."""
    made: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(0, 5))):
        call = {"functionCall": {"name": draw(st.sampled_from(("find", "a.b"))), "args": draw(_INPUTS)}}
        kinds: tuple[dict[str, Any], ...] = (
            {"text": draw(_TEXTS)},
            {"text": draw(_TEXTS), "thought": True},
            {"text": "", "thoughtSignature": "c2ln"},
            call,
            {"functionCall": call["functionCall"] | {"id": f"call_{draw(st.integers(0, 3))}"}},
            call | {"thoughtSignature": "c2ln"},
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
            {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        )
        part = draw(st.sampled_from(kinds))
        if not made or "text" not in part or made[-1].keys() != part.keys():
            made.append(part)
    return made


def _response(draw: DrawFn, name: str) -> dict[str, Any]:
    reason = draw(st.sampled_from(_REASONS[name]))
    if name == "anthropic":
        content = _blocks(draw)
        return {"model": "claude-m", "content": content, "stop_reason": reason, "usage": _USAGES[name]}
    content = {"role": "model", "parts": _parts(draw)}
    candidates = [{"content": content, "finishReason": reason}]
    return {"candidates": candidates, "usageMetadata": _USAGES[name], "modelVersion": "gemini-m"}


def _pieces_of(draw: DrawFn, text: str) -> list[str]:
    cut = draw(st.integers(0, len(text)))
    return [text[:cut], text[cut:]]


def _events(draw: DrawFn, response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of Anthropic's stream of an answer."""
    yield {
        "type": "message_start",
        "message": {"model": "claude-m", "usage": {"input_tokens": 3, "output_tokens": 1}},
    }
    for index, block in enumerate(response["content"]):
        empty = {"text": "", "thinking": "", "signature": "", "input": {}}
        begun = {name: empty.get(name, value) for name, value in block.items() if name != "citations"}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in _deltas(draw, block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": response["stop_reason"]},
        "usage": _USAGES["anthropic"],
    }
    yield {"type": "message_stop"}


def _deltas(draw: DrawFn, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in filter(block.__contains__, ("text", "thinking", "signature")):
        for piece in _pieces_of(draw, block[name]):
            yield {"type": f"{name}_delta", name: piece}
    for citation in block.get("citations", ()):
        yield {"type": "citations_delta", "citation": citation}
    if block.get("input"):
        text = json.dumps(block["input"], ensure_ascii=False, separators=(",", ":"))
        for piece in _pieces_of(draw, text):
            yield {"type": "input_json_delta", "partial_json": piece}


def _chunks(draw: DrawFn, response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the chunks of Gemini's stream of an answer."""
    (candidate,) = response["candidates"]
    for part in candidate["content"]["parts"]:
        is_whole = "text" not in part or "thoughtSignature" in part
        for piece in [part] if is_whole else [part | {"text": one} for one in _pieces_of(draw, part["text"])]:
            yield {
                "candidates": [{"content": {"role": "model", "parts": [piece]}}],
                "modelVersion": "gemini-m",
            }
    yield response | {"candidates": [{"finishReason": candidate["finishReason"]}]}


_STREAMS: dict[str, Callable[[DrawFn, dict[str, Any]], Iterator[dict[str, Any]]]] = {
    "anthropic": _events,
    "gemini": _chunks,
}


@pytest.mark.parametrize("name", _STREAMS)
@_SETTINGS
@given(data=st.data())
def test_a_stream_stores_the_same(name: str, data: st.DataObject) -> None:
    """The stream of an answer makes the message of its response."""
    response = _response(data.draw, name)
    reader = module(name).StreamReader()
    for event in _STREAMS[name](data.draw, response):
        reader.feed(json.dumps(event))
    assert without_ids([reader.message()]) == without_ids(module(name).from_response(response))


@pytest.mark.parametrize("name", _STREAMS)
@_SETTINGS
@given(data=st.data(), unanswered=st.sampled_from(Unanswered))
def test_stored_answers_are_an_accepted_request(
    name: str, data: st.DataObject, unanswered: Unanswered
) -> None:
    """Stored answers make a request that breaks no rule, and that converts back to itself."""
    form, told = module(name), []
    for _ in range(data.draw(st.integers(1, 4))):
        (answer,) = form.from_response(_response(data.draw, name))
        is_edited = data.draw(st.integers(0, 5)) == 0
        told.append(replace(answer, content="Edited") if is_edited else answer)
        calls = answer.tool_calls[data.draw(st.sampled_from((0, 0, 1))) :]
        told += [Message(role=Role.TOOL, tool_call_id=call.id, content=data.draw(_TEXTS)) for call in calls]
        told += [Message(role=Role.USER, content="And?")] * data.draw(st.integers(0, 1))
    request = json.loads(json.dumps(form.to_request(told, unanswered=unanswered)))
    assert form.violations(request) == []
    back = form.from_request(request)
    without_ids(back)  # the client can send them
    assert form.to_request(back, unanswered=unanswered) == request


@pytest.mark.parametrize("name", _STREAMS)
@_SETTINGS
@given(data=st.data())
def test_an_answered_answer_is_sent_verbatim(name: str, data: st.DataObject) -> None:
    """An answer that breaks no rule is sent as the provider gave it."""
    form, response = module(name), _response(data.draw, name)
    (answer,) = form.from_response(response)
    question = Message(role=Role.USER, content="Hello?")
    results = [Message(role=Role.TOOL, tool_call_id=call.id, content="found") for call in answer.tool_calls]
    thanks = [] if results else [Message(role=Role.USER, content="Thanks.")]
    ((key, turns),) = form.to_request([question, answer, *results, *thanks]).items()
    inner, model = ("content", "assistant") if name == "anthropic" else ("parts", "model")
    whole = response if name == "anthropic" else response["candidates"][0]["content"]
    expected = [turns[0], {"role": model, inner: whole[inner]}, turns[-1]]
    if form.violations({key: expected}) == []:
        assert turns == expected


@pytest.mark.parametrize("name", ["anthropic", "openai_responses"])
@pytest.mark.parametrize(
    "body", [{"error": {"message": "secret"}}, {"type": "error", "error": {"type": "x"}}]
)
def test_an_error_is_no_answer(name: str, body: dict[str, Any]) -> None:
    """The body of an error makes no message, and the exception does not quote it."""
    with pytest.raises(ValueError, match=r"^the response is an error: there is no message to store$"):
        module(name).from_response(body)
