"""The command `import`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from sessionhistory_cli.client.formatting import counted, visible
from sessionhistory_cli.client.importing.conversation_reader import ConversationReader
from sessionhistory_cli.client.importing.file_values import FileValues
from sessionhistory_cli.client.importing.importer import Importer
from sessionhistory_cli.client.importing.options import ImportOptions
from sessionhistory_cli.client.importing.report import ImportReport
from sessionhistory_cli.client.importing.shapes import Format
from sessionhistory_cli.client.importing.storing import Result
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.interrupts import RUN_AGAIN, Interrupted
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.progress_bar import ProgressBar
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    import io

    from rich.console import Console

    from sessionhistory_cli.client.importing.conversation_reader import Found

_NO_CONVERSATIONS: Final = (
    "this does not look like conversations in JSON: `session-history import --help` describes them"
)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--user", "user_id", metavar="ID", help="Owner of the sessions, instead of the one that the file names."
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["auto", *(one.value for one in Format)]),
    default="auto",
    help="Format of the file; auto: the command finds it out.",
)
@click.option(
    "--session",
    "session_id",
    metavar="ID",
    default="",
    show_default=False,
    help="Session of a file that is one conversation without an id.",
)
@click.option("--pin-system", is_flag=True, help="Pin system and developer prompts, up to 64 in a session.")
@server_options(timeout_seconds=10)
@json_option
def import_(
    *,
    server: Server,
    file: io.BufferedReader,
    user_id: str | None,
    format_name: str,
    as_json: bool,
    **rest: Any,  # noqa: ANN401 - the other options of the import, by name
) -> None:
    """Import conversations, of this service and of other systems.

    FILE has one JSON value a line, or is a JSON list. It may be gzipped; "-" is standard input. A value is a
    conversation, or the values are the messages of one. The formats are:

    \b
    own               conversation_id or session_id, and messages;
                      also the output of `history --json`
                      and `messages --json`
    openai-chat       requests with messages, fine-tuning files,
                      lists of messages
    openai-responses  requests with input, responses with output,
                      lists of items
    anthropic         requests with system and messages,
                      lists of messages
    gemini            requests with contents, lists of contents
    langchain         dumped messages: messages_to_dict, dumpd,
                      model_dump
    sharegpt          conversations, with from and value
    chatgpt           the export's conversations.json; branches that
                      it does not show become forks

    In the format own, sessions and messages have the fields of the contract, in its spelling or in camel
    case, and also source, which becomes a label, reasoning_content, which becomes a part, created_at (ISO
    8601, in UTC if it names no time zone, or seconds since 1970), and usage with the names of other APIs.
    Messages may have the form of OpenAI's API. In other formats, an id that is missing is made from the
    content.

    If the import is interrupted, run the same command again to continue; messages that are stored already
    are compared and not changed. A conversation that cannot be stored is skipped, and reported with its
    place and the reason. Fields that are not stored are named with the reason. Exits with 0 if nothing was
    skipped, else with 1.
    """  # noqa: D301 - click reads the control character
    if user_id == "":
        raise click.BadParameter("must not be empty", param_hint="--user")
    chosen = None if format_name == "auto" else Format(format_name)
    options = ImportOptions(user_id=user_id, format=chosen, **rest)
    report = ImportReport()
    stopped = _run(server, FileValues(file), options, report, print_skips=not as_json)
    if as_json:
        show_json(**report.to_dict(), finished=stopped is None)
    else:
        click.echo(report.text())
    if stopped:
        raise stopped
    sys.exit(1 if report.skipped else 0)


def _run(
    server: Server, values: FileValues, options: ImportOptions, report: ImportReport, *, print_skips: bool
) -> click.ClickException | None:
    """Store all conversations; return the error that stopped the import early."""
    reader = ConversationReader(values, options)
    try:
        bar = ProgressBar(values.total_bytes)
        with server.client() as client, bar.shown():
            for found, outcome in Importer(client).run(reader):
                report.add(found, outcome)
                bar.update(values.read_bytes, counted(report.conversations, "conversation"))
                if print_skips and outcome.result is Result.SKIPPED:
                    _print_skip(bar.console, found, outcome.reason)
    except click.ClickException as error:
        return click.ClickException(f"{error.message}; then {RUN_AGAIN}")
    except KeyboardInterrupt:
        return Interrupted(f"interrupted: {RUN_AGAIN}")
    if reader.gave_up:
        return click.ClickException(_NO_CONVERSATIONS)
    return click.ClickException(f"the file is cut off or damaged: {values.damage}") if values.damage else None


def _print_skip(console: Console, found: Found, reason: str) -> None:
    which = f" ({visible(found.conversation_id)})" if found.conversation_id else ""
    console.print(f"{found.place.thing} {found.place.number:,}{which}: skipped: {reason}", soft_wrap=True)
