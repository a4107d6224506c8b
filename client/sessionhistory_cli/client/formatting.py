"""Format text, numbers and times for people, and escape characters that control a terminal."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

_NOT_PLAIN: Final = re.compile(r"[^ -~]")
_KEPT_IN_LINES: Final = re.compile(r"[^ -~\n\t]")

# Letters by their category, but invisible on terminals.
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0")

# These characters join letters and emoji, and do not move text.
_JOINERS: Final = frozenset("\u200c\u200d")

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def visible(text: str) -> str:
    r"""Return text on one line, without characters that control a terminal or are invisible.

    Control characters, including those that reverse the direction of writing, and blank letters are escaped
    as Python writes them: ``\x1b``, ``\u202e``, ``\n``, ``\u3164``.
    """
    return _NOT_PLAIN.sub(_shown, text)


def visible_lines(text: str) -> str:
    """Return text as ``visible`` does, but keep line feeds and tabs."""
    return _KEPT_IN_LINES.sub(_shown, text)


def counted(number: int, thing: str) -> str:
    """Return a number with its noun, as in "1 message" or "2 messages"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def first(number: int, thing: str) -> str:
    """Return "first message is" or, for a larger number, "first 2 messages are"."""
    return f"first {thing} is" if number == 1 else f"first {counted(number, thing)} are"


def timestamp(time: datetime | None) -> str:
    """Return a time in UTC, to the second; empty if there is no time."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if time else ""


def ago(time: datetime | None) -> str:
    """Return how long ago a time was, or its day after a month; empty if there is no time."""
    if time is None:
        return ""
    seconds = int((datetime.now(UTC) - time).total_seconds())
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min ago"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h ago"
    return f"{seconds // _DAY} d ago" if seconds < 30 * _DAY else f"{time.astimezone(UTC):%Y-%m-%d}"


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    printable = character.isprintable() and character not in _BLANK_LETTERS
    harmless = printable or character in _JOINERS or unicodedata.category(character) == "Zs"
    return character if harmless else character.encode("unicode_escape").decode()
