"""Text of other people, made safe to show and short to say."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

_NOT_PLAIN: Final = re.compile(r"[^ -~]")
_KEPT_IN_LINES: Final = re.compile(r"[^ -~\n\t]")

# They join letters and emoji, and move nothing.
_JOINERS: Final = frozenset("\u200c\u200d")

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def visible(text: str) -> str:
    r"""Return text on one line, in which nothing commands a terminal or hides.

    Control characters, also those that reverse the direction of writing, are shown as Python writes
    them: ``\x1b``, ``\u202e``, ``\n``.
    """
    return _NOT_PLAIN.sub(_shown, text)


def visible_lines(text: str) -> str:
    """Return text as ``visible`` does, with its line feeds and tabs."""
    return _KEPT_IN_LINES.sub(_shown, text)


def counted(number: int, thing: str) -> str:
    """Return a number of things."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def timestamp(time: datetime | None) -> str:
    """Return a time in UTC, to the second; empty if there is none."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if time else ""


def ago(time: datetime | None) -> str:
    """Return how long ago a time was; the day, if it is a month or more; empty if there is none."""
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
    harmless = character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"
    return character if harmless else character.encode("unicode_escape").decode()
