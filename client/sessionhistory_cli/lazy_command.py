"""Import a command when it is called, so that it needs only the packages that it uses."""

from __future__ import annotations

import pkgutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

CLI: Final = "session-history[cli]"
SERVER: Final = "session-history[server]"
EMBEDDED: Final = f"{SERVER}, or session-history[embedded] for an embedded Postgres"


@contextmanager
def needing(needs: str) -> Iterator[None]:
    """Name the extra to install if the block imports a missing package.

    Raises:
        click.ClickException: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: install {needs}") from error


class LazyCommand(click.Command):
    """A placeholder for a command, with its name, its short help and the location of its module.

    Args:
        name: The name of the command.
        target: The command itself, as ``package.module:attribute``.
        short_help: The first sentence of the command's help, for the list of commands.
        needs: The extra to install if the command's module imports a missing package.
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
        """Return a context of the command itself, so that click invokes the command."""
        return self.load().make_context(info_name, args, parent, **extra)
