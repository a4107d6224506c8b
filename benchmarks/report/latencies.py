"""Draw the distribution of latencies at several loads, beside that of the ceiling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from benchmarks.report import svg
from benchmarks.report.svg import BARS, LABELS, MARGIN
from benchmarks.report.table import number
from benchmarks.rows.streams import QUANTILES, SHARES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_METHODS: Final = {"append-streams": "AppendMessage", "history-streams": "GetHistory"}
_TITLE: Final = "Latency of calls over streams, beside the unary server that does nothing but answer, ms"
_LEGEND: Final = (
    "p50, p90, p99, largest; calls do not wait for answers. Below, grey: the ceiling at the same rate."
)
_TICK: Final = 3
_HEIGHT: Final = 12
_STEP: Final = 18
_HEAD: Final = 56
_FOOT: Final = 40


class _Line(NamedTuple):
    """The quantiles of the latencies of one side, in milliseconds, ascending."""

    label: str
    style: str
    quantiles: Sequence[float]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Lines under a title, on a logarithmic scale."""

    bars: Sequence[_Line]

    @classmethod
    def of(cls, rows: Mapping[str, Mapping[str, Any]]) -> Self:
        """Return the chart of the rows of a document."""
        lines = []
        for prefix, method in _METHODS.items():
            for name, share in SHARES.items():
                row = rows.get(f"{prefix}-{name}")
                if row is not None:
                    lines.append(_line(row, f"{method}, {share:.0%} of the top load", "over streams", "own"))
                    lines.append(_line(row, "", "ceiling", "peer"))
        return cls(lines)

    @property
    def height(self) -> int:
        """The height of the chart."""
        return _HEAD + _STEP * len(self.bars) + _FOOT

    def draw(self, top: int) -> Iterator[str]:
        """Yield the parts of the chart."""
        yield svg.text(MARGIN, top + 16, _TITLE, "title")
        yield svg.text(MARGIN, top + 36, _LEGEND, "soft")
        values = [value for line in self.bars for value in line.quantiles]
        least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        first, left, width = top + _HEAD, MARGIN + LABELS, BARS / (most - least)
        bottom = first + _STEP * len(self.bars)
        for decade in range(least, most + 1):
            x = left + (decade - least) * width
            yield svg.line(x, first - 4, bottom, "axis")
            yield svg.text(x, bottom + 14, f"{10**decade:g}", "soft", anchor="middle")
        for place, line in enumerate(self.bars):
            places = [left + (math.log10(value) - least) * width for value in line.quantiles]
            yield from _draw_line(line, places, first + _STEP * place)


def _line(row: Mapping[str, Any], label: str, side: str, style: str) -> _Line:
    figures = row["figures"]
    return _Line(label, style, [figures[side], *(figures[f"{name}, {side}"] for name in list(QUANTILES)[1:])])


def _draw_line(line: _Line, places: Sequence[float], top: int) -> Iterator[str]:
    baseline = top + _HEIGHT - 2
    yield svg.text(MARGIN + LABELS - 10, baseline, line.label, "label", anchor="end")
    yield svg.bar(places[0], top + _HEIGHT // 2 - 1, places[-1] - places[0], 2, line.style)
    for x in places:
        yield svg.bar(x - _TICK / 2, top, _TICK, _HEIGHT, line.style)
    shown = ", ".join(map(number, line.quantiles))
    yield svg.text(MARGIN + LABELS + BARS + 12, baseline, shown, "soft")
