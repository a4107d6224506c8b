"""Draw the figures as bars in one SVG, which follows the reader's light or dark mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.report import svg
from benchmarks.report.latencies import Latencies
from benchmarks.report.svg import BARS, LABELS, MARGIN
from benchmarks.report.table import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Rows = Mapping[str, Mapping[str, Any]]

_BAR: Final = 16
_STEP: Final = 28
_MARK_OVERHANG: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    label: str
    value: float
    shown: str
    target: float | None = None
    aim: float | None = None
    style: str = "own"


@dataclass(frozen=True, slots=True)
class _Chart:
    """Bars under a title; ``legend`` explains their marks."""

    title: str
    legend: str
    bars: Sequence[_Bar]
    full: float = 0
    """The value that fills the width, unless a bar is longer."""

    @property
    def height(self) -> int:
        return 56 + _STEP * len(self.bars) + 20

    def draw(self, top: int) -> Iterator[str]:
        largest = max(self.full, *(max(bar.value, bar.target or 0, bar.aim or 0) for bar in self.bars))
        yield svg.text(MARGIN, top + 16, self.title, "title")
        yield svg.text(MARGIN, top + 36, self.legend, "soft")
        first, left = top + 56, MARGIN + LABELS
        for place, bar in enumerate(self.bars):
            yield from _draw_bar(bar, first + _STEP * place, BARS / largest)
        bottom = first + _STEP * len(self.bars) - (_STEP - _BAR) + _MARK_OVERHANG
        yield svg.line(left, first - _MARK_OVERHANG, bottom, "axis")


def draw(document: Mapping[str, Any]) -> str:
    """Return the picture of a document. Rows without figures are left out."""
    rows = {row["name"]: row for row in document["rows"] if "ratio" in row}
    charts = [
        chart
        for chart in (_shares(rows), Latencies.of(rows), _turns(rows), _depths(rows), _prompts(rows))
        if chart.bars
    ]
    parts: list[str] = []
    top = MARGIN
    for chart in charts:
        parts += chart.draw(top)
        top += chart.height
    for line in _caption(document["machine"]):
        parts.append(svg.text(MARGIN, top, line, "soft"))
        top += 18
    return svg.picture("How fast Session History is", top, parts)


def _shares(rows: Rows) -> _Chart:
    names = {
        "append-streams": "AppendMessage over streams",
        "history-streams": "GetHistory over streams",
        "append": "AppendMessage",
        "history": "GetHistory",
    }
    bars = [
        _Bar(
            label=label,
            value=row["ratio"],
            shown=f"{row['ratio']:.0%}: {number(row['figures'][row['measured']])}/s",
            target=row["target"]["limit"],
            aim=row["target"]["aim"],
        )
        for name, label in names.items()
        for row in _known(rows, (name,))
    ]
    title = "Calls a second, in percent of a unary gRPC server in Python that does nothing but answer"
    legend = "64 calls in flight over 8 sessions, one worker. Lines: the target, dashed the aim."
    return _Chart(title, legend, bars, full=1)


def _turns(rows: Rows) -> _Chart:
    bars = []
    for row in _known(rows, ("turns",)):
        figures = dict(row["figures"])
        bars.append(_turns_bar("Session History", figures.pop(row["measured"]), "own"))
        del figures[row["against"]]  # the best peer, which also follows under its name
        bars += [_turns_bar(name, value, "peer") for name, value in figures.items()]
    legend = "16 conversations at once; a turn stores a message, reads a window of 20 and stores the answer."
    return _Chart("Turns a second of one Python process", legend, bars)


def _turns_bar(name: str, value: float, style: str) -> _Bar:
    return _Bar(label=name, value=value, shown=number(value), style=style)


def _depths(rows: Rows) -> _Chart:
    names = {
        "append-long": "AppendMessage",
        "history-long": "GetHistory",
        "sessions-page": "ListSessions",
        "messages-page": "ListMessages",
    }
    bars = [
        _Bar(
            label=f"{name}, {row['measured']}",
            value=row["ratio"],
            shown=f"{row['ratio']:.2f} times",
            target=row["target"]["limit"],
        )
        for row_name, name in names.items()
        for row in _known(rows, (row_name,))
    ]
    legend = (
        "Against a session of 100 messages, or page 1: 1 is no difference. Lines: the most that is allowed."
    )
    return _Chart("Time of a call where there is much, in times of one where there is little", legend, bars)


def _prompts(rows: Rows) -> _Chart:
    bars = []
    for row in _known(rows, ("prompt-cache",)):
        means = (row["measured"], row["against"])
        for name, value in row["figures"].items():
            if name not in means:
                style = "peer" if name.endswith(row["against"]) else "own"
                bars.append(_Bar(label=f"budget {name}", value=value, shown=number(value), style=style))
    legend = "Windows before each answer of conversations that outgrow the budget; all else is in the cache."
    return _Chart("Tokens of a prompt that are new to a provider's prompt cache", legend, bars)


def _known(rows: Rows, names: Sequence[str]) -> list[Mapping[str, Any]]:
    return [rows[name] for name in names if name in rows]


def _caption(machine: Mapping[str, str]) -> tuple[str, str]:
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['kernel']}"
    names = {
        "python": "Python",
        "grpcio": "grpcio",
        "postgres": "Postgres",
        "session-history": "Session History",
    }
    versions = ", ".join(f"{shown} {machine[name]}" for name, shown in names.items())
    return f"{where}; load and Postgres on the same machine.", f"{versions}. {machine['date']}."


def _draw_bar(bar: _Bar, top: int, scale: float) -> Iterator[str]:
    left, baseline = MARGIN + LABELS, top + _BAR - 4
    yield svg.text(left - 10, baseline, bar.label, "label", anchor="end")
    yield svg.bar(left, top, bar.value * scale, _BAR, bar.style)
    for value, style in ((bar.target, "mark"), (bar.aim, "mark aim")):
        if value is not None:
            yield svg.line(left + value * scale, top - _MARK_OVERHANG, top + _BAR + _MARK_OVERHANG, style)
    yield svg.text(left + BARS + 12, baseline, bar.shown, "soft")
