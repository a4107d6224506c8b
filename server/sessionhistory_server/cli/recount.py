"""The command that counts the tokens of all sessions again."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sessionhistory_server import logs
from sessionhistory_server.cli._counter import load_counter
from sessionhistory_server.cli._database import clear_errors, required
from sessionhistory_server.cli._output import json_option, show
from sessionhistory_server.config import option
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.recount_all import Tally, recount_all
from sessionhistory_server.tokens import TokenCounters

if TYPE_CHECKING:
    from pathlib import Path

_AGAIN: Final = "run the same command again: it goes on where it stopped"


class _Interrupted(click.ClickException):
    """Ends the command as Ctrl-C ends others."""

    exit_code = 130


@click.command()
@option(
    "database_url",
    "URL of a Postgres 15 to 18, as libpq takes it. Required; `serve` logs that of its embedded one.",
)
@option(
    "token_counter",
    "The counter, as the servers have it: characters, tiktoken:ENCODING, or the name of a plug-in.",
)
@option("tiktoken_dir")
@click.option(
    "--all", "everything", is_flag=True, help="Also recount sessions that have this counter already."
)
@json_option
def recount(
    *,
    database_url: str | None,
    token_counter: str,
    tiktoken_dir: Path | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Count the tokens of all sessions again. Sessions that have this counter already are skipped.

    Servers may keep running. Token counts that were sent with their messages stay. If the command is
    interrupted, run it again to continue. Exits with 0 if all sessions have this counter then, else with 1.
    """
    logs.configure(level="warning", log_format="auto")
    url = required(database_url)
    load_counter(token_counter, tiktoken_dir)
    done = Tally()
    stopped = _run(url, TokenCounters(token_counter, tiktoken_dir), done, everything=everything)
    report = done.report() | {"finished": stopped is None}
    show(report, done.text(), as_json=as_json)
    if stopped:
        raise stopped
    sys.exit(0 if done.complete else 1)


def _run(url: str, counters: TokenCounters, done: Tally, *, everything: bool) -> click.ClickException | None:
    """Recount everything; return what stopped it."""
    bar = _bar()

    def tell() -> None:
        bar.update(bar.task_ids[0], completed=done.share)

    try:
        with clear_errors(), bar if bar.console.is_terminal else nullcontext():
            asyncio.run(recount_all(url, counters, done, everything=everything, tell=tell))
    except SessionHistoryError as error:
        return click.ClickException(f"{error}; then {_AGAIN}")
    except KeyboardInterrupt:
        return _Interrupted(f"interrupted: {_AGAIN}")
    return None


def _bar() -> Progress:
    """Return a bar for the standard error."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("of all sessions"), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True)
    progress.add_task("", total=1.0)
    return progress
