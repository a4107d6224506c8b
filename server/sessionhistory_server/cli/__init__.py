"""The command `session-history`. Here is which commands there are; each is imported when it is called."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import click

from sessionhistory_server.cli._lazy import CLI, EMBEDDED, SERVER, LazyCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cli"]

# What the command is, where it is, what it does, and what must be installed for it.
_COMMANDS: Final = (
    LazyCommand(
        "serve",
        "sessionhistory_server.cli.serve:serve",
        "Serve gRPC until SIGTERM or Ctrl-C.",
        needs=EMBEDDED,
    ),
    LazyCommand(
        "migrate",
        "sessionhistory_server.cli.schema:migrate",
        "Bring a database's schema up to date.",
        needs=SERVER,
    ),
    LazyCommand(
        "check",
        "sessionhistory_server.cli.schema:check",
        "Check whether a database is ready to serve from.",
        needs=SERVER,
    ),
    LazyCommand(
        "recount",
        "sessionhistory_server.cli.recount:recount",
        "Count the tokens of all sessions again.",
        needs=SERVER,
    ),
    LazyCommand(
        "health",
        "sessionhistory_server.cli.health:health",
        "Check whether a running server is serving.",
        needs=SERVER,
    ),
    LazyCommand(
        "sessions",
        "sessionhistory.cli.sessions:sessions",
        "List sessions, newest first.",
        needs=CLI,
    ),
    LazyCommand(
        "history",
        "sessionhistory.cli.history:history",
        "Show the context of a session.",
        needs=CLI,
    ),
    LazyCommand(
        "append",
        "sessionhistory.cli.append:append",
        "Store standard input as a message.",
        needs=CLI,
    ),
    LazyCommand(
        "update",
        "sessionhistory.cli.editing:update",
        "Change the status, title or state of a session.",
        needs=CLI,
    ),
    LazyCommand(
        "truncate",
        "sessionhistory.cli.editing:truncate",
        "Remove the last messages of a session.",
        needs=CLI,
    ),
    LazyCommand(
        "fork",
        "sessionhistory.cli.editing:fork",
        "Create a session from the messages of another.",
        needs=CLI,
    ),
    LazyCommand(
        "reset",
        "sessionhistory.cli.editing:reset",
        "End a session and create its successor.",
        needs=CLI,
    ),
    LazyCommand(
        "compact",
        "sessionhistory.cli.compacting:compact",
        "Store a summary in place of the older messages of a session.",
        needs=CLI,
    ),
    LazyCommand(
        "import",
        "sessionhistory.cli.importing:import_",
        "Import recorded conversations.",
        needs=CLI,
    ),
)


class _Group(click.Group):
    """Says what is wrong with a command's arguments in one line, without its usage before it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _in_one_line() if args else nullcontext():  # without any it is help that is raised
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        with _in_one_line():
            return super().invoke(ctx)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.ctx = None
        raise


@click.group(
    cls=_Group,
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(package_name="session-history")
def cli() -> None:
    """Keep the conversation history of LLM applications in Postgres, behind gRPC."""
