"""The command `import`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from sessionhistory_cli.client.formatting import counted, visible
from sessionhistory_cli.client.importing.file_lines import FileLines
from sessionhistory_cli.client.importing.importer import Importer, RecordingReader
from sessionhistory_cli.client.importing.report import ImportReport
from sessionhistory_cli.client.importing.storing import Result
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.interrupts import RUN_AGAIN, Interrupted
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.progress_bar import ProgressBar
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    import io

    from rich.console import Console

    from sessionhistory_cli.client.importing.importer import Line

_NO_CONVERSATIONS: Final = (
    "this does not look like JSON Lines of conversations: `session-history import --help` describes them"
)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--user", "user_id", metavar="ID", help="Owner of the sessions, instead of the one that the file names."
)
@server_options(timeout_seconds=10)
@json_option
def import_(server: Server, *, file: io.BufferedReader, user_id: str | None, as_json: bool) -> None:
    """Import recorded conversations.

    FILE is in JSON Lines and may be gzipped; "-" is standard input. Each line is an object with
    conversation_id and messages, and optionally user_id, application_id, title, model, and source, which
    becomes a label. A message has a role (system, developer, user, assistant, tool) and optionally content,
    reasoning_content, which becomes a part, name, tool_calls (with id, name, and arguments as text),
    tool_call_id, finish_reason, created_at (ISO 8601; UTC if it names no time zone), and usage (input_tokens
    or prompt_tokens, output_tokens or completion_tokens, cache_read_tokens, cache_write_tokens). The format
    of OpenAI's API is accepted as well: name and arguments of a call inside function, and content as a list
    of parts of the types text and image_url.

    If the import is interrupted, run the same command again to continue; messages that are stored already are
    compared and not changed. A line that cannot be stored is skipped, and reported with its number and the
    reason. Exits with 0 if no line was skipped, else with 1.
    """
    if user_id == "":
        raise click.BadParameter("must not be empty", param_hint="--user")
    report = ImportReport()
    stopped = _run(server, FileLines(file), user_id, report, print_skips=not as_json)
    if as_json:
        show_json(**report.to_dict(), finished=stopped is None)
    else:
        click.echo(report.text())
    if stopped:
        raise stopped
    sys.exit(1 if report.skipped else 0)


def _run(
    server: Server, lines: FileLines, user_id: str | None, report: ImportReport, *, print_skips: bool
) -> click.ClickException | None:
    """Store all conversations; return the error that stopped the import early."""
    reader = RecordingReader(lines, user_id)
    try:
        bar = ProgressBar(lines.total_bytes)
        with server.client() as client, bar.shown():
            for line, outcome in Importer(client).run(reader):
                report.add(line, outcome)
                bar.update(lines.read_bytes, counted(report.lines, "conversation"))
                if print_skips and outcome.result is Result.SKIPPED:
                    _print_skip(bar.console, line, outcome.reason)
    except click.ClickException as error:
        return click.ClickException(f"{error.message}; then {RUN_AGAIN}")
    except KeyboardInterrupt:
        return Interrupted(f"interrupted: {RUN_AGAIN}")
    if reader.gave_up:
        return click.ClickException(_NO_CONVERSATIONS)
    return click.ClickException(f"the file is cut off or damaged: {lines.damage}") if lines.damage else None


def _print_skip(console: Console, line: Line, reason: str) -> None:
    which = f" ({visible(line.conversation_id)})" if line.conversation_id else ""
    console.print(f"line {line.number:,}{which}: skipped: {reason}", soft_wrap=True)
