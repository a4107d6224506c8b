"""Print text for people: wrapped and coloured on a terminal, unchanged elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import click
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

_MIN_COLUMNS: Final = 20


class Block(NamedTuple):
    """Lines of text with the same indentation."""

    text: Text
    indent: int = 0
    """The width of the indentation, in columns."""
    wrapped: bool = True
    """Whether to break long lines. A line that only the terminal breaks is copied as one line."""


def console() -> Console:
    """Return a console on standard output, which does not interpret markup in texts."""
    return Console(markup=False, emoji=False, highlight=False)


def show_blocks(to: Console, blocks: Iterable[Block]) -> None:
    """Print blocks: on a terminal wrapped and coloured, elsewhere each line unchanged."""
    for text, indent, wrapped in blocks:
        margin = " " * indent
        if to.is_terminal:
            width = max(to.width - indent, _MIN_COLUMNS)
            for line in text.wrap(to, width, overflow="fold") if wrapped else [text]:
                to.print(Text(margin) + line, soft_wrap=True)
        else:
            click.echo("\n".join(margin + line for line in text.plain.split("\n")))
