"""Escaped texts, numbers, and times relative to now."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from unicodedata import category

import pytest

from sessionhistory_cli.client.formatting import ago, counted, first, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("a\rb\bc\x7f\x00", r"a\rb\x08c\x7f\x00"),
        ("\x9b31m\x90\x85", r"\x9b31m\x90\x85"),
        ("\u202eabc\u2066\u200f\u061c", r"\u202eabc\u2066\u200f\u061c"),
        ("a\u2028b\u2029\ufeff\u200b\U000e0041", r"a\u2028b\u2029\ufeff\u200b\U000e0041"),
        ("\ud800", r"\ud800"),
        ("a\u3164\u115f\u1160\uffa0b\u17b4\u17b5", r"a\u3164\u115f\u1160\uffa0b\u17b4\u17b5"),
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
    """Control characters and characters that turn or hide text are escaped; all others are kept."""
    assert visible(text) == visible_lines(text) == shown


def test_lines_and_tabs() -> None:
    """Newlines and tabs are kept where several lines are shown."""
    assert visible("a\n\tb") == r"a\n\tb"
    assert visible_lines("a\n\tb\r\n") == "a\n\tb\\r\n"


def test_no_character_gets_past() -> None:
    """No character that a terminal interprets is left unescaped, out of all characters."""
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
    """A time is given in the largest unit of which at least one has passed."""
    assert ago(datetime.now(UTC) - past) == said


def test_long_ago() -> None:
    """After a month a time is given as the date in UTC."""
    east = datetime(2025, 1, 1, 1, tzinfo=UTC).astimezone()
    assert ago(east) == "2025-01-01"
    assert ago(None) == ""


def test_counted() -> None:
    """One has the singular, and thousands are separated."""
    assert [counted(number, "token") for number in (0, 1, 2_000)] == ["0 tokens", "1 token", "2,000 tokens"]
    said = ["first 0 tokens are", "first token is", "first 2,000 tokens are"]
    assert [first(number, "token") for number in (0, 1, 2_000)] == said
