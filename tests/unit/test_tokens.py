"""Counting the tokens of a message, where the caller did not."""

from __future__ import annotations

from typing import Any

import pytest

from sessionhistory_server import tokens
from sessionhistory_server.model import Media, MessageContent, Part, ToolCall


def content(**fields: Any) -> MessageContent:
    """Return a message with some fields."""
    return MessageContent("id", "USER")._replace(**fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, 0), ("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("a" * 8, 2), ("a" * 9, 3), ("  \n\t", 1)],
)
def test_a_quarter_of_the_characters_rounded_up(text: str | None, expected: int) -> None:
    """Any character counts; null and empty weigh nothing."""
    assert tokens.count(content(content=text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("日本語です", 2), ("😀😀😀😀", 1), ("e\u0301e\u0301", 1), ("👩‍👩‍👧‍👧", 2), ("ΩΩΩΩΩ", 2)],
)
def test_characters_are_code_points(text: str, expected: int) -> None:
    """Neither bytes, nor UTF-16 units, nor what a person sees as one character."""
    assert tokens.count(content(content=text)) == expected


def test_all_texts_are_added_up_and_rounded_once() -> None:
    """Content, text parts, and the calls' names and arguments: five times one character is two tokens."""
    message = content(
        content="a",
        parts=(Part(text="b"), Part(text="c")),
        tool_calls=(ToolCall("an id is not counted", "d", "e"),),
    )
    assert tokens.count(message) == 2


def test_several_calls_are_counted() -> None:
    """Every call's name and arguments count, empty arguments too."""
    calls = (ToolCall("", "abcd", "{}"), ToolCall("", "abcd", ""), ToolCall("", "ab", "[1]"))
    assert tokens.count(content(tool_calls=calls)) == 4


def test_nothing_else_counts() -> None:
    """Ids, names, media, JSON parts, payload, metadata and models weigh nothing."""
    message = content(
        message_id="m" * 100,
        name="n" * 100,
        tool_call_id="t" * 100,
        parts=(
            Part(json='"long"' * 10),
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
