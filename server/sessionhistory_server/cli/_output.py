"""What commands print: text for people, or one JSON object for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def show(found: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print what was found."""
    click.echo(json.dumps(found) if as_json else text)
