"""Windows with odd fields become requests that break no rule and lose nothing, with any options.

Unlike ``test_formats_properties``, this reads the requests themselves, with no code of the formats.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from windows_support import windows

from sessionhistory.formats import Unanswered, anthropic, gemini
from sessionhistory.types import JsonPart, Role, TextPart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sessionhistory.types import History, Message

_NO_RESULT = "This tool call has no result."
_ADDED = dict.fromkeys((anthropic.BEGINNING, anthropic.CONTINUE, _NO_RESULT), 1_000)
_UNANSWERED = st.sampled_from(Unanswered)
_OPTIONS = {
    anthropic: {"unanswered": _UNANSWERED, "prefill": st.booleans(), "system_messages": st.booleans()},
    gemini: {"unanswered": _UNANSWERED, "signatures": st.booleans()},
}
_RULES = ("prefill", "signatures")


class _Shown(NamedTuple):
    """The texts of a request, also of results, the names of its calls, and the number of results."""

    texts: list[str]
    calls: list[str]
    results: int


@pytest.mark.parametrize("form", _OPTIONS, ids=lambda form: form.__name__.rpartition(".")[2])
@given(data=st.data(), history=windows())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_windows(form: ModuleType, data: st.DataObject, history: History) -> None:
    """A window makes a request that breaks no rule and loses nothing, and that converts back to itself."""
    options = data.draw(st.fixed_dictionaries({}, optional=_OPTIONS[form]))
    request = form.to_request(history, **options)
    assert form.violations(request, **{name: options[name] for name in _RULES if name in options}) == []
    json.dumps(request, allow_nan=False)
    _check_complete(history, request, options.get("unanswered", Unanswered.MARKER))
    assert form.to_request(form.from_request(request), **options) == request


@given(history=windows())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_cached_windows(history: History) -> None:
    """Breakpoints of Anthropic's prompt cache break no rule, and change nothing else."""
    cached = anthropic.to_request(history, cache=True)
    assert anthropic.violations(cached) == []
    plain = anthropic.to_request(history)
    assert _without_breakpoints(cached) == plain
    assert anthropic.to_request(anthropic.from_request(cached)) == plain


def _check_complete(history: History, request: dict[str, Any], unanswered: Unanswered) -> None:
    """Check that the request has all texts, calls and results of a window, each once, and no others."""
    shown = _of_gemini(request) if "contents" in request else _of_anthropic(request)
    told = Counter(text.rstrip() for text in shown.texts if text.strip())
    kept = Counter(text.rstrip() for message in history.messages for text in _texts_of(message))
    assert told - Counter(_ADDED) == kept
    calls = [call for message in history.messages for call in message.tool_calls]
    assert len(shown.calls) == shown.results
    if unanswered is Unanswered.MARKER:
        assert Counter(shown.calls) == Counter(call.name for call in calls)
    else:
        assert _NO_RESULT not in told


def _texts_of(message: Message) -> Iterator[str]:
    """Yield the texts of a message."""
    for part in (TextPart(message.content or ""), *message.parts):
        if isinstance(part, JsonPart):
            yield _json(part.value)
        elif isinstance(part, TextPart) and part.text.strip():
            yield part.text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _of_anthropic(request: dict[str, Any]) -> _Shown:
    blocks = [*request.get("system", ()), *(one for turn in request["messages"] for one in turn["content"])]
    results = [block for block in blocks if block["type"] == "tool_result"]
    calls = [block["name"] for block in blocks if block["type"] == "tool_use"]
    nested = [block.get("content", []) for block in results]
    texts = [text for text in nested if isinstance(text, str)]
    inner = [block for content in nested if isinstance(content, list) for block in content]
    texts += [block["text"] for block in (*blocks, *inner) if block["type"] == "text"]
    return _Shown(texts, calls, len(results))


def _of_gemini(request: dict[str, Any]) -> _Shown:
    contents = [request.get("systemInstruction", {"parts": []}), *request["contents"]]
    parts = [part for content in contents for part in content["parts"]]
    texts = [part["text"] for part in parts if "text" in part and not part.get("thought")]
    calls = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
    results = [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]
    for told in results:
        output = told.get("output", told.get("error")) if told.keys() in ({"output"}, {"error"}) else told
        texts += (
            output if isinstance(output, list) else [output if isinstance(output, str) else _json(output)]
        )
    return _Shown(texts, calls, len(results))


def _without_breakpoints(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_breakpoints(one) for name, one in value.items() if name != "cache_control"}
    return [_without_breakpoints(one) for one in value] if isinstance(value, list) else value


def test_a_payload_is_sent_back() -> None:
    """The blocks of a response come back as they were, as long as the message says the same."""
    content = [
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
        {"type": "text", "text": "Yes.", "citations": [{"type": "char_location"}]},
        {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"n": 1.0}},
    ]
    (message,) = anthropic.from_response({"content": content, "model": "claude", "stop_reason": "tool_use"})
    assert message.role is Role.ASSISTANT
    assert anthropic.to_request([message])["messages"][1]["content"] == content
