"""The table of the results, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measurement import Result

_STYLES: Final = {"met": "green", "aim reached": "bold green", "missed": "yellow", "invalid": "bold red"}


def number(value: float) -> str:
    """Return a figure with its significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def figure(value: float, unit: str) -> str:
    """Return a figure with its unit."""
    return f"{number(value)}{unit}" if unit == "/s" else f"{number(value)} {unit}"


def line(result: Result) -> str:
    """Return a result in one line."""
    if not result.rounds:
        return f"{result.row.name}: {result.status}: {result.note}"
    return f"{result.row.name}: {result.ratio:.2f} ({_spread(result)}), {result.status}"


def render(results: Sequence[Result]) -> Table:
    """Render the results as a table."""
    shown = Table(box=SIMPLE_HEAD, header_style="bold")
    shown.add_column("what", min_width=30)
    for heading in ("measured", "against", "ratio", "spread"):
        shown.add_column(heading, justify="right", no_wrap=heading != "against")
    shown.add_column("target", no_wrap=True)
    shown.add_column("", no_wrap=True)
    for result in results:
        status = Text(result.status, style=_STYLES.get(result.status, "dim"))
        shown.add_row(_what(result), *_figures(result), str(result.row.target or ""), status)
    return shown


def _what(result: Result) -> Text:
    """Return the title, and the notes below it."""
    notes = [f"{name} {figure(value, result.row.unit)}" for name, value in result.others.items()]
    notes += filter(None, [result.note])
    return Text(result.row.title).append("".join(f"\n  {note}" for note in notes), style="dim")


def _figures(result: Result) -> tuple[str, str, str, str]:
    if not result.rounds:
        return "", "", "", ""
    row = result.row
    against = f"{figure(result.against, row.unit)} {row.against}"
    return figure(result.measured, row.unit), against, f"{result.ratio:.2f}", _spread(result)


def _spread(result: Result) -> str:
    return f"{result.ratios[0]:.2f} to {result.ratios[-1]:.2f}"
