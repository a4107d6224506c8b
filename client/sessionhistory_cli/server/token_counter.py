"""Load the token counter that a command names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sessionhistory_server.config import variable
from sessionhistory_server.model.tokens import CHARACTERS

if TYPE_CHECKING:
    from pathlib import Path


def load_counter(name: str, tiktoken_dir: Path | None) -> None:
    """Load a token counter, before workers are forked, so that they share it.

    Raises:
        click.UsageError: the counter is not available.
    """
    if name == CHARACTERS:
        return
    from sessionhistory_server import tokens  # noqa: PLC0415 - imported only if needed, for a quick start

    try:
        tokens.load(name, tiktoken_dir)
    except tokens.TokenCounterError as error:
        raise click.UsageError(f"--token-counter ({variable('token_counter')}) {name}: {error}") from error
