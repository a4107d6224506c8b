"""The list of all commands. A command is imported when it is called."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import click

from sessionhistory_cli.lazy_command import CLI, EMBEDDED, SERVER, LazyCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMANDS: Final = (
    LazyCommand(
        "serve",
        "sessionhistory_cli.server.serve:serve",
        "Serve gRPC until SIGTERM or Ctrl-C.",
        needs=EMBEDDED,
    ),
    LazyCommand(
        "migrate",
        "sessionhistory_cli.server.migrate:migrate",
        "Bring a database's schema up to date.",
        needs=SERVER,
    ),
    LazyCommand(
        "check",
        "sessionhistory_cli.server.check:check",
        "Check whether a database is ready to serve from.",
        needs=SERVER,
    ),
    LazyCommand(
        "recount",
        "sessionhistory_cli.server.recount:recount",
        "Count the tokens of all sessions again.",
        needs=SERVER,
    ),
    LazyCommand(
        "health",
        "sessionhistory_cli.server.health:health",
        "Check whether a running server is serving.",
        needs=SERVER,
    ),
    LazyCommand(
        "keys",
        "sessionhistory_cli.keys:keys",
        "Create, list, rotate and revoke API keys.",
        needs=CLI,
    ),
    LazyCommand(
        "jwt",
        "sessionhistory_cli.client.refused_tokens:jwt",
        "Refuse JSON Web Tokens, and list refused ones.",
        needs=CLI,
    ),
    LazyCommand(
        "limits",
        "sessionhistory_cli.server.limits:limits",
        "Set, list and unset the limits of tenants and users.",
        needs=EMBEDDED,
    ),
    LazyCommand(
        "contexts",
        "sessionhistory_cli.client.context_list:contexts",
        "List the servers that have a name in the file of contexts.",
        needs=CLI,
    ),
    LazyCommand(
        "sessions",
        "sessionhistory_cli.client.sessions:sessions",
        "List sessions, newest first.",
        needs=CLI,
    ),
    LazyCommand(
        "show",
        "sessionhistory_cli.client.show:show",
        "Show a session.",
        needs=CLI,
    ),
    LazyCommand(
        "messages",
        "sessionhistory_cli.client.messages:messages",
        "Show messages of a session, exactly as they are stored.",
        needs=CLI,
    ),
    LazyCommand(
        "history",
        "sessionhistory_cli.client.history:history",
        "Show the history of a session, the window that a model gets.",
        needs=CLI,
    ),
    LazyCommand(
        "append",
        "sessionhistory_cli.client.append:append",
        "Store standard input as a message.",
        needs=CLI,
    ),
    LazyCommand(
        "update",
        "sessionhistory_cli.client.update:update",
        "Change the status, title or state of a session.",
        needs=CLI,
    ),
    LazyCommand(
        "truncate",
        "sessionhistory_cli.client.truncate:truncate",
        "Remove the last messages of a session.",
        needs=CLI,
    ),
    LazyCommand(
        "fork",
        "sessionhistory_cli.client.forks:fork",
        "Create a session from the messages of another.",
        needs=CLI,
    ),
    LazyCommand(
        "reset",
        "sessionhistory_cli.client.forks:reset",
        "End a session and create its successor.",
        needs=CLI,
    ),
    LazyCommand(
        "compact",
        "sessionhistory_cli.client.compact:compact",
        "Store a summary in place of older messages in a session's history.",
        needs=CLI,
    ),
    LazyCommand(
        "delete",
        "sessionhistory_cli.client.deletion:delete",
        "Delete a session; `undelete` can restore it for a time.",
        needs=CLI,
    ),
    LazyCommand(
        "undelete",
        "sessionhistory_cli.client.deletion:undelete",
        "Restore a deleted or expired session.",
        needs=CLI,
    ),
    LazyCommand(
        "import",
        "sessionhistory_cli.client.importing.command:import_",
        "Import conversations, of this service and of other systems.",
        needs=CLI,
    ),
)


class _Group(click.Group):
    """The group of all commands. An error in the arguments is printed in one line, without the usage."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Without arguments, click raises an error that prints the help.
        with _in_one_line() if args else nullcontext():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        with _in_one_line():
            return super().invoke(ctx)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except click.NoSuchOption as error:
        raise click.UsageError(error.format_message() + _hint(error.ctx)) from None
    except click.UsageError as error:
        error.ctx = None
        raise


def _hint(context: click.Context | None) -> str:
    """Return what to do if the unknown option is the id of a session."""
    takes_session = context and any(parameter.name == "session_id" for parameter in context.command.params)
    return " Put -- before a SESSION that begins with -." if takes_session else ""


@click.group(
    cls=_Group,
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(package_name="session-history")
def cli() -> None:
    """Keep the conversation history of LLM applications in Postgres, behind gRPC."""
