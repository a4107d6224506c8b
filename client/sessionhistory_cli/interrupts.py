"""End a command that the user interrupts."""

from __future__ import annotations

import sys
from typing import IO, Any, Final

import click

RUN_AGAIN: Final = "run the same command again: it goes on where it stopped"


class Interrupted(click.ClickException):
    """An error that ends a command with the exit code of Ctrl-C."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error on a line of its own: the terminal has printed ``^C`` without a line feed."""
        if sys.stderr.isatty():
            click.echo(err=True)
        super().show(file)
