"""Commands that are imported when they are called, so that each needs only what it uses itself."""

from __future__ import annotations

import pkgutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

CLI: Final = "session-history[cli]"
SERVER: Final = "session-history[server]"
EMBEDDED: Final = f"{SERVER}, or session-history[embedded] for a Postgres of its own"


@contextmanager
def needing(needs: str) -> Iterator[None]:
    """Say what to install if a package is missing that the block imports.

    Raises:
        click.ClickException: one is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: install {needs}") from error


class LazyCommand(click.Command):
    """Stands for a command in its group: knows its name and short help, and where the rest is.

    Args:
        name: What it is called by.
        target: Where the command is, as ``package.module:attribute``.
        short_help: What it does, in the list of commands: the first sentence of its help.
        needs: What to install if a package is missing that its module imports.
    """

    def __init__(self, name: str, target: str, short_help: str, *, needs: str) -> None:
        super().__init__(name, short_help=short_help)
        self._target = target
        self._needs = needs

    def load(self) -> click.Command:
        """Import the command.

        Raises:
            click.ClickException: a package is missing.
        """
        with needing(self._needs):
            command: click.Command = pkgutil.resolve_name(self._target)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> click.Context:
        """Return a context of the command itself, which click then invokes."""
        return self.load().make_context(info_name, args, parent, **extra)
