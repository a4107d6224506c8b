"""Counting the tokens of a message for which the caller gave no number."""

from __future__ import annotations

import pytest

from sessionhistory_server import tokens
from sessionhistory_server.model.message import Media, Part, Reasoning, ToolCall
from support.messages import message_content


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, 0), ("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("a" * 8, 2), ("a" * 9, 3), ("  \n\t", 1)],
)
def test_a_quarter_of_the_characters_rounded_up(text: str | None, expected: int) -> None:
    """Each character counts; null and empty content have no tokens."""
    assert tokens.count(message_content(content=text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("日本語です", 2), ("😀😀😀😀", 1), ("e\u0301e\u0301", 1), ("👩‍👩‍👧‍👧", 2), ("ΩΩΩΩΩ", 2)],
)
def test_characters_are_code_points(text: str, expected: int) -> None:
    """Characters are code points, not bytes, UTF-16 units or what a reader sees as one character."""
    assert tokens.count(message_content(content=text)) == expected


def test_all_texts_are_added_up_and_rounded_once() -> None:
    """Content, text and JSON parts, calls' names and arguments add up: six characters are two tokens."""
    message = message_content(
        content="a",
        parts=(Part(text="b"), Part(text="c"), Part(json="1")),
        tool_calls=(ToolCall("an id is not counted", "d", "e"),),
    )
    assert tokens.count(message) == 2


def test_several_calls_are_counted() -> None:
    """Every call's name and arguments count, empty arguments too."""
    calls = (ToolCall("", "abcd", "{}"), ToolCall("", "abcd", ""), ToolCall("", "ab", "[1]"))
    assert tokens.count(message_content(tool_calls=calls)) == 4


def test_of_reasoning_the_text_counts() -> None:
    """The text of reasoning counts; its encrypted content does not, because no server can count it."""
    reasoning = Reasoning(text="12345678", opaque="x" * 999, signature="y" * 999)
    assert tokens.count(message_content(parts=(Part(reasoning=reasoning),))) == 2


def test_json_counts_as_it_was_sent() -> None:
    """JSON counts with its spaces and escapes, because the model is shown that text."""
    assert tokens.count(message_content(parts=(Part(json='{ "\\u00e9": 1 }'),))) == 4
    assert tokens.count(message_content(parts=(Part(json=f'["{"x" * 199_996}"]'),))) == 50_000


def test_nothing_else_counts() -> None:
    """Ids, names, media, payload, metadata and models have no tokens."""
    message = message_content(
        message_id="m" * 100,
        name="n" * 100,
        tool_call_id="t" * 100,
        parts=(
            Part(media=Media("image/png", "https://example.org/" + "x" * 100, None)),
            Part(media=Media("", None, b"x" * 100)),
        ),
        payload=b"x" * 100,
        payload_type="p" * 100,
        metadata='{"a": "' + "x" * 100 + '"}',
        model="m" * 100,
        provider="p" * 100,
        turn_id="t" * 100,
        input_tokens=1_000,
        output_tokens=1_000,
    )
    assert tokens.count(message) == 0
