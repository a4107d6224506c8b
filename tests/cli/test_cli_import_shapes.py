"""The format of a value, found out by names that only one format has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionhistory_cli.client.importing.conversation_reader import ConversationReader
from sessionhistory_cli.client.importing.file_values import Place, Value
from sessionhistory_cli.client.importing.options import ImportOptions
from sessionhistory_cli.client.importing.shapes import Format, Shape, shape

_HELLO = {"role": "user", "content": "hello"}
_TOOL_USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"conversation_id": "a", "messages": [_HELLO]}, Format.OWN),
        ({"sessionId": "a", "messages": [_HELLO]}, Format.OWN),
        ({"session": {}, "history": {}}, Format.OWN),
        ({"messages": [_HELLO | {"message_id": "a"}]}, Format.OWN),
        ({"conversation_id": "a"}, Format.OWN),
        ({"messages": [_HELLO]}, Format.OPENAI_CHAT),
        ({"messages": []}, Format.OPENAI_CHAT),
        ({"messages": [_HELLO], "system": "Be short."}, Format.ANTHROPIC),
        ({"messages": [_HELLO, _TOOL_USE]}, Format.ANTHROPIC),
        ({"conversation_id": "a", "messages": [_TOOL_USE]}, Format.ANTHROPIC),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            Format.ANTHROPIC,
        ),
        ({"messages": [{"type": "human", "data": {"content": "a"}}]}, Format.LANGCHAIN),
        ({"messages": [{"lc": 1, "id": ["HumanMessage"], "kwargs": {}}]}, Format.LANGCHAIN),
        ({"input": [_HELLO]}, Format.OPENAI_RESPONSES),
        ({"object": "response", "output": []}, Format.OPENAI_RESPONSES),
        ({"contents": []}, Format.GEMINI),
        ({"conversations": []}, Format.SHAREGPT),
        ({"mapping": {}}, Format.CHATGPT),
        ({"input": "a question", "output": "an answer"}, None),
        ({"mapping": []}, None),
        ({}, None),
        ([], None),
        ("text", None),
        (None, None),
    ],
)
def test_conversations(value: Any, expected: Format | None) -> None:
    """A conversation has the format of its names; what no format has is none."""
    assert shape(value, None) == (Shape(expected, is_message=False) if expected else None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (_HELLO, Format.OPENAI_CHAT),
        (_HELLO | {"sequence": 1}, Format.OWN),
        ({"role": "ROLE_USER", "messageId": "a"}, Format.OWN),
        (_TOOL_USE, Format.ANTHROPIC),
        (_HELLO | {"type": "message", "stop_reason": None}, Format.OPENAI_CHAT),
        (_HELLO | {"type": "message"}, Format.OPENAI_RESPONSES),
        ({"type": "function_call", "name": "f"}, Format.OPENAI_RESPONSES),
        ({"type": "human", "content": "a"}, Format.LANGCHAIN),
        ({"type": "AIMessageChunk", "content": "a"}, Format.LANGCHAIN),
        ({"from": "human", "value": "a"}, Format.SHAREGPT),
        ({"role": "model", "parts": []}, Format.GEMINI),
        ({"role": "robot"}, None),
        ({"type": "human"}, None),
        ({"type": ["message"], "role": 1}, None),
    ],
)
def test_messages(value: dict[str, Any], expected: Format | None) -> None:
    """A message has the format of its names."""
    assert shape(value, None) == (Shape(expected, is_message=True) if expected else None)


def test_a_named_format() -> None:
    """With a format, only the list of messages decides whether a value is a conversation."""
    assert shape({"a": 1}, Format.SHAREGPT) == Shape(Format.SHAREGPT, is_message=True)
    assert shape({"conversations": 1}, Format.SHAREGPT) == Shape(Format.SHAREGPT, is_message=False)
    assert shape({"output": []}, Format.OPENAI_RESPONSES) == Shape(Format.OPENAI_RESPONSES, is_message=False)
    assert shape({"a": 1}, Format.CHATGPT) == Shape(Format.CHATGPT, is_message=False)
    assert shape([], Format.OWN) is None


def _examples() -> list[Any]:
    """Return the values of the example files."""
    found: list[Any] = []
    for path in sorted((Path(__file__).parent / "imports").glob("*.json*")):
        text = path.read_text()
        found += json.loads(text) if path.suffix == ".json" else map(json.loads, text.splitlines())
    return found


_SOMETHING: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from((None, True, 7, 1.5, -1e300, "", "user", "\ud800", "{", "\0")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("type", "text")), inner),
    max_leaves=4,
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place inside a value, as its container and its name or index."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, one in inner for place in ((value, name), *_places(one))]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data(), chosen=st.none() | st.sampled_from(Format))
def test_damaged_examples(data: st.DataObject, chosen: Format | None) -> None:
    """A value of a wrong type anywhere in a conversation is a problem of its line, or none."""
    values = [json.loads(json.dumps(data.draw(st.sampled_from(_examples())))) for _ in range(2)]
    for _ in range(data.draw(st.integers(1, 3))):
        container, name = data.draw(st.sampled_from(_places(values)))
        container[name] = data.draw(_SOMETHING)
    lines = [Value(Place(number), 1, value) for number, value in enumerate(values, start=1)]
    for found in ConversationReader(lines, ImportOptions(format=chosen, pin_system=True)):
        assert (found.recording is None) == bool(found.problem)
