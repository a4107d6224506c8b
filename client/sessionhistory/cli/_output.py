"""What the commands print: something to read on a terminal, whole values elsewhere, or one JSON object."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import click
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

_MIN_COLUMNS: Final = 20

json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


class Block(NamedTuple):
    """Lines of text, and by how many columns they are indented."""

    text: Text
    indent: int = 0
    wrapped: bool = True
    """Whether to break long lines; a terminal does so too, but that does not show when they are copied."""


def console() -> Console:
    """Return the standard output; nothing that is printed to it is taken for markup."""
    return Console(markup=False, emoji=False, highlight=False)


def say_how_to_end(source: IO[Any]) -> None:
    """Say how a text ends that is typed on a terminal."""
    if source.isatty():
        click.echo("reading from the terminal; Ctrl-D on an empty line ends the text", err=True)


def show_blocks(to: Console, blocks: Iterable[Block]) -> None:
    """Print blocks: wrapped and coloured on a terminal, elsewhere each line as it is."""
    for text, indent, wrapped in blocks:
        margin = " " * indent
        if to.is_terminal:
            width = max(to.width - indent, _MIN_COLUMNS)
            for line in text.wrap(to, width, overflow="fold") if wrapped else [text]:
                to.print(Text(margin) + line, soft_wrap=True)
        else:
            click.echo("\n".join(margin + line for line in text.plain.split("\n")))


def show_json(**found: Any) -> None:  # noqa: ANN401 - anything of the client's types
    """Print one JSON object, in ASCII: nothing in it can command a terminal."""
    click.echo(json.dumps(to_json(found)))


def to_json(value: Any) -> Any:  # noqa: ANN401 - anything of the client's types
    """Return a value as JSON has it: times in ISO 8601 and UTC, bytes in base64, records as objects.

    Numbers that Python has no JSON for become text: integers of thousands of digits, and infinite floats.
    """
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    match value:
        case Mapping():
            return {name: to_json(inner) for name, inner in value.items()}
        case tuple() | list():
            return [to_json(inner) for inner in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:  # noqa: ANN401 - as above
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return str(value)
        case float() if math.isinf(value):
            return str(Decimal(value))
    return value
