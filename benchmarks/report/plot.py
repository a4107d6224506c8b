"""Draw the figures as bars in one SVG, which follows the reader's light or dark mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from benchmarks.report.table import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Rows = Mapping[str, Mapping[str, Any]]

_WIDTH: Final = 860
_MARGIN: Final = 24
_LABELS: Final = 260
_BARS: Final = 400
_BAR: Final = 16
_STEP: Final = 28
_MARK_OVERHANG: Final = 4

_STYLE: Final = """
svg { --paper: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --own: #1f6feb; --peer: #9aa4af }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --own: #4493f8; --peer: #656c76 }
}
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink) }
.title { font-size: 15px; font-weight: 600 }
.soft { fill: var(--soft); font-size: 12px }
.paper { fill: var(--paper) } .own { fill: var(--own) } .peer { fill: var(--peer) }
.axis { stroke: var(--line) }
.mark { stroke: var(--ink); stroke-width: 2 } .aim { stroke-dasharray: 3 3 }
"""


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
        yield _text(_MARGIN, top + 16, self.title, "title")
        yield _text(_MARGIN, top + 36, self.legend, "soft")
        first, left = top + 56, _MARGIN + _LABELS
        for place, bar in enumerate(self.bars):
            yield from _draw_bar(bar, first + _STEP * place, _BARS / largest)
        bottom = first + _STEP * len(self.bars) - (_STEP - _BAR) + _MARK_OVERHANG
        yield _line(left, first - _MARK_OVERHANG, bottom, "axis")


def svg(document: Mapping[str, Any]) -> str:
    """Return the picture of a document. Rows without figures are left out."""
    rows = {row["name"]: row for row in document["rows"] if "ratio" in row}
    charts = [chart for chart in (_shares(rows), _turns(rows), _depths(rows)) if chart.bars]
    parts: list[str] = []
    top = _MARGIN
    for chart in charts:
        parts += chart.draw(top)
        top += chart.height
    for line in _caption(document["machine"]):
        parts.append(_text(_MARGIN, top, line, "soft"))
        top += 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img">\n'
        f"<title>How fast Session History is</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="paper" width="{_WIDTH}" height="{top}" rx="6"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _shares(rows: Rows) -> _Chart:
    names = ("append", "history", "append-two-workers", "history-two-workers")
    bars = [
        _Bar(
            label=row["title"],
            value=row["ratio"],
            shown=f"{row['ratio']:.0%}: {number(row['figures'][row['measured']])}/s",
            target=row["target"]["limit"],
            aim=row["target"]["aim"],
        )
        for row in _known(rows, names)
    ]
    title = "Calls a second, as a share of a gRPC server in Python that does nothing but answer"
    legend = (
        "64 requests in flight over 8 sessions; the full width is 100%. Lines: the target, dashed the aim."
    )
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
    left, baseline = _MARGIN + _LABELS, top + _BAR - 4
    yield _text(left - 10, baseline, bar.label, "label", anchor="end")
    place = f'x="{left}" y="{top}" width="{bar.value * scale:.1f}" height="{_BAR}"'
    yield f'<rect class="{bar.style}" {place} rx="2"/>'
    for value, style in ((bar.target, "mark"), (bar.aim, "mark aim")):
        if value is not None:
            yield _line(left + value * scale, top - _MARK_OVERHANG, top + _BAR + _MARK_OVERHANG, style)
    yield _text(left + _BARS + 12, baseline, bar.shown, "soft")


def _text(x: float, y: float, content: str, style: str, *, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(content)}</text>'


def _line(x: float, top: float, bottom: float, style: str) -> str:
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
