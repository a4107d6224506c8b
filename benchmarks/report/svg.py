"""The parts of a picture in SVG, which follows the reader's light or dark mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 860
MARGIN: Final = 24
LABELS: Final = 260
"""The width of the labels on the left of bars."""
BARS: Final = 400
"""The width of the longest bar."""

_STYLE: Final = """
svg { --paper: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --own: #1f6feb; --peer: #9aa4af }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --own: #4493f8; --peer: #656c76 }
}
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink) }
.title { font-size: 15px; font-weight: 600 }
.soft { fill: var(--soft); font-size: 12px }
.paper { fill: var(--paper) } .own { fill: var(--own) } .peer { fill: var(--peer) }
.out { fill: none; stroke: var(--line) }
.axis { stroke: var(--line) }
.mark { stroke: var(--ink); stroke-width: 2 } .aim { stroke-dasharray: 3 3 }
"""


def picture(title: str, height: int, parts: Sequence[str]) -> str:
    """Return a picture of the parts; ``title`` is for readers who cannot see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def text(x: float, y: float, content: str, style: str, *, anchor: str = "start") -> str:
    """Return a text. With the anchor `end`, it ends at ``x``."""
    return f'<text class="{style}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(content)}</text>'


def line(x: float, top: float, bottom: float, style: str) -> str:
    """Return a vertical line."""
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def bar(left: float, top: int, width: float, height: int, style: str) -> str:
    """Return a bar from ``left`` to the right."""
    place = f'x="{left:g}" y="{top}" width="{width:.1f}" height="{height}"'
    return f'<rect class="{style}" {place} rx="2"/>'
