"""Draw how a window slides and how it moves in steps: `python -m benchmarks.report.windows FILE.svg`.

The conversation of the picture is made up: each turn is a question and an answer of the same sizes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.report import svg
from benchmarks.report.svg import MARGIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BUDGET: Final = 4_000
_STEP: Final = 1_000
_QUESTION: Final = 100
_ANSWER: Final = 250
_FIRST: Final = 11
"""The first turn that is shown: the last but one that the budget holds whole."""
_TURNS: Final = 10

_LABELS: Final = 70
_BARS: Final = 670
_BAR: Final = 12
_ROW: Final = 18
_HEAD: Final = 34
_LEGEND: Final = 230
_FOOT: Final = 20


@dataclass(frozen=True, slots=True)
class _Window:
    """The window of a turn: its first token, the end of the part that the cache has, and its end."""

    begin: int
    known: int
    end: int

    @property
    def new(self) -> int:
        return self.end - self.known


def picture() -> str:
    """Return the picture."""
    parts: list[str] = []
    top = MARGIN
    panels = {
        "The window slides": _windows(1),
        f"The window moves in steps of {_STEP:,} tokens": _windows(_STEP),
    }
    for title, windows in panels.items():
        parts += _panel(title, windows, top)
        top += _HEAD + _ROW * len(windows) + _FOOT
    parts += _legend(top)
    return svg.picture("Windows that slide, and windows that move in steps", top + 2 * MARGIN, parts)


def _windows(step: int) -> list[_Window]:
    """Return the windows before the answers of the shown turns, by the rule of `step_tokens`."""
    begins = list(accumulate([_QUESTION, _ANSWER] * (_FIRST + _TURNS), initial=0))
    ends = [turn * (_QUESTION + _ANSWER) + _QUESTION for turn in range(_FIRST - 2, _FIRST + _TURNS - 1)]
    return [
        _Window(begin, former_end if begin == former_begin else begin, end)
        for (former_begin, former_end), (begin, end) in pairwise(
            (_begin(begins, end - _BUDGET, step), end) for end in ends
        )
    ]


def _begin(begins: Sequence[int], too_many: int, step: int) -> int:
    """Return the beginning of the first message that begins at or behind a multiple of ``step``."""
    boundary = max(-(-too_many // step) * step, 0)
    return next(begin for begin in begins if begin >= boundary)


def _panel(title: str, windows: Sequence[_Window], top: int) -> Iterator[str]:
    scale = _BARS / windows[-1].end
    new = sum(window.new for window in windows)
    yield svg.text(MARGIN, top + 12, title, "title")
    yield svg.text(svg.WIDTH - MARGIN, top + 12, f"{new:,} new", "title", anchor="end")
    for row, window in enumerate(windows):
        yield from _draw(window, f"turn {_FIRST + row}", top + _HEAD + _ROW * row, scale)


def _draw(window: _Window, label: str, top: int, scale: float) -> Iterator[str]:
    left, baseline = MARGIN + _LABELS, top + _BAR - 2
    yield svg.text(left - 10, baseline, label, "soft", anchor="end")
    for begin, end, style in (
        (0, window.begin, "out"),
        (window.begin, window.known, "peer"),
        (window.known, window.end, "own"),
    ):
        if end > begin:
            yield svg.bar(left + begin * scale, top, (end - begin) * scale, _BAR, style)
    yield svg.text(svg.WIDTH - MARGIN, baseline, f"{window.new:,}", "soft", anchor="end")


def _legend(top: int) -> Iterator[str]:
    entries = {
        "own": "new: at the full price",
        "peer": "as in the turn before: cached",
        "out": "not in the window",
    }
    left = MARGIN + _LABELS
    for place, (style, meaning) in enumerate(entries.items()):
        x = left + _LEGEND * place
        yield svg.bar(x, top, _BAR, _BAR, style)
        yield svg.text(x + _BAR + 8, top + _BAR - 2, meaning, "soft")
    size = f"Each turn has a question of {_QUESTION} tokens and an answer of {_ANSWER}."
    yield svg.text(left, top + 30, f"The budget is {_BUDGET:,} tokens. {size}", "soft")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(picture())
