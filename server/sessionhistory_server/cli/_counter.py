"""What the commands that count tokens share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sessionhistory_server.config import variable
from sessionhistory_server.model import CHARACTERS

if TYPE_CHECKING:
    from pathlib import Path


def load_counter(name: str, tiktoken_dir: Path | None) -> None:
    """Load a token counter, for all workers, before anything is done in vain.

    Raises:
        click.UsageError: it is not available.
    """
    if name == CHARACTERS:
        return
    from sessionhistory_server import tokens  # noqa: PLC0415 - rarely needed, and a start is to be quick

    try:
        tokens.load(name, tiktoken_dir)
    except tokens.TokenCounterError as error:
        raise click.UsageError(f"--token-counter ({variable('token_counter')}) {name}: {error}") from error
