"""Texts of other people on a terminal, and how long ago something was."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from unicodedata import category

import pytest

from sessionhistory.cli._text import ago, counted, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("a\rb\bc\x7f\x00", r"a\rb\x08c\x7f\x00"),
        ("\x9b31m\x90\x85", r"\x9b31m\x90\x85"),
        ("\u202eabc\u2066\u200f\u061c", r"\u202eabc\u2066\u200f\u061c"),
        ("a\u2028b\u2029\ufeff\u200b\U000e0041", r"a\u2028b\u2029\ufeff\u200b\U000e0041"),
        ("\ud800", r"\ud800"),
        ("\ue000", r"\ue000"),
        ("[bold]x[/bold] :smile:", "[bold]x[/bold] :smile:"),
        ("日本語 한국어 żółć עברית", "日本語 한국어 żółć עברית"),
        (
            "👩\u200d👩\u200d👧 ❤\ufe0f \u0645\u06cc\u200c\u0631",
            "👩\u200d👩\u200d👧 ❤\ufe0f \u0645\u06cc\u200c\u0631",
        ),
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
    ],
)
def test_what_commands_or_hides_is_shown(text: str, shown: str) -> None:
    """Control characters, and what turns or hides text, are escaped; all that is written is left."""
    assert visible(text) == visible_lines(text) == shown


def test_lines_and_tabs() -> None:
    """They are kept where there are lines."""
    assert visible("a\n\tb") == r"a\n\tb"
    assert visible_lines("a\n\tb\r\n") == "a\n\tb\\r\n"


def test_no_character_gets_past() -> None:
    """Of all there are, nothing that a terminal obeys is left."""
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    for shown, kept in ((visible, ""), (visible_lines, "\n\t")):
        others = {character for character in shown(everything) if not character.isprintable()}
        assert {character for character in others if category(character) != "Zs"} == {*kept, *"\u200c\u200d"}


@pytest.mark.parametrize(
    ("past", "said"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=61), "1 min ago"),
        (timedelta(minutes=59, seconds=30), "59 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=29, hours=23), "29 d ago"),
    ],
)
def test_ago(past: timedelta, said: str) -> None:
    """In the largest unit that there is one of."""
    assert ago(datetime.now(UTC) - past) == said


def test_long_ago() -> None:
    """A month and more is the day, in UTC."""
    east = datetime(2025, 1, 1, 1, tzinfo=UTC).astimezone()
    assert ago(east) == "2025-01-01"
    assert ago(None) == ""


def test_counted() -> None:
    """One is one, and thousands are apart."""
    assert [counted(number, "token") for number in (0, 1, 2_000)] == ["0 tokens", "1 token", "2,000 tokens"]
