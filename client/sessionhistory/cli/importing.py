"""The command that stores recorded conversations."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sessionhistory.cli._importer import Importer, Reader
from sessionhistory.cli._lines import Lines
from sessionhistory.cli._output import json_option, show_json
from sessionhistory.cli._server import Interrupted, Server, server_options
from sessionhistory.cli._storing import Result
from sessionhistory.cli._tally import Tally
from sessionhistory.cli._text import visible

if TYPE_CHECKING:
    import io

    from sessionhistory.cli._importer import Line

_SOMETHING_ELSE: Final = (
    "this does not look like JSON Lines of conversations: `session-history import --help` describes them"
)
_AGAIN: Final = "run the same command again: it goes on where it stopped"


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--user", "user_id", metavar="ID", help="Owner of the sessions, whatever the file says.")
@server_options(timeout_seconds=10)
@json_option
def import_(server: Server, *, file: io.BufferedReader, user_id: str | None, as_json: bool) -> None:
    """Import recorded conversations.

    FILE is in JSON Lines and may be gzipped; "-" is standard input. Each line is an object with
    conversation_id and messages, and optionally user_id, title, model, and source, which becomes a label. A
    message has a role (system, developer, user, assistant, tool) and optionally content, name, tool_calls
    (with id, name, and arguments as text), tool_call_id, created_at (ISO 8601; UTC if it names no time zone),
    and usage (input_tokens or prompt_tokens, output_tokens or completion_tokens, cache_read_tokens,
    cache_write_tokens). The format of OpenAI's API is accepted as well: name and arguments of a call inside
    function, and content as a list of parts of the types text and image_url.

    If the import is interrupted, run the same command again to continue; what is stored already is compared
    and not changed. A line that cannot be stored is skipped, and reported with its number and the reason.
    Exits with 0 if no line was skipped, else with 1.
    """
    if user_id == "":
        raise click.BadParameter("must not be empty", param_hint="--user")
    tally = Tally()
    stopped = _run(server, Lines(file), user_id, tally, tell_skips=not as_json)
    if as_json:
        show_json(**tally.report(), finished=stopped is None)
    else:
        click.echo(tally.text())
    if stopped:
        raise stopped
    sys.exit(1 if tally.skipped else 0)


def _run(
    server: Server, lines: Lines, user_id: str | None, tally: Tally, *, tell_skips: bool
) -> click.ClickException | None:
    """Store all conversations; return what stopped it."""
    reader = Reader(lines, user_id)
    try:
        progress = _progress(lines)
        seen = progress if progress.console.is_terminal else nullcontext()
        with server.client() as client, seen:
            for line, outcome in Importer(client).run(reader):
                tally.add(line, outcome)
                progress.update(progress.task_ids[0], completed=lines.read_bytes, lines=tally.lines)
                if tell_skips and outcome.result is Result.SKIPPED:
                    _tell(progress.console, line, outcome.reason)
    except click.ClickException as error:
        return click.ClickException(f"{error.message}; then {_AGAIN}")
    except KeyboardInterrupt:
        return Interrupted(f"interrupted: {_AGAIN}")
    if reader.gave_up:
        return click.ClickException(_SOMETHING_ELSE)
    return click.ClickException(f"the file is cut off or damaged: {lines.damage}") if lines.damage else None


def _progress(lines: Lines) -> Progress:
    """Return a bar for the standard error."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    progress = Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[lines]:,} conversations"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    progress.add_task("", total=lines.total_bytes, lines=0)
    return progress


def _tell(console: Console, line: Line, reason: str) -> None:
    which = f" ({visible(line.conversation_id)})" if line.conversation_id else ""
    console.print(f"line {line.number:,}{which}: skipped: {reason}", soft_wrap=True)
