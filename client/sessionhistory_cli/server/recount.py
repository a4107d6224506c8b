"""The command that counts the tokens of all sessions again."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from sessionhistory_cli.interrupts import RUN_AGAIN, Interrupted
from sessionhistory_cli.json_output import show_result
from sessionhistory_cli.progress_bar import ProgressBar
from sessionhistory_cli.server.database_url import explain_database_errors, required_url
from sessionhistory_cli.server.token_counter import load_counter
from sessionhistory_cli.shared_options import json_option
from sessionhistory_server.config import option
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.observability import logs
from sessionhistory_server.tokens import TokenCounters
from sessionhistory_server.usecases.tokens import RecountTotals, recount_all

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@option(
    "database_url",
    "URL of a Postgres 15 to 18, as libpq takes it. Required; `serve` logs that of its embedded one.",
)
@option("pooler")
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
    pooler: str | None,
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
    url = required_url(database_url, pooler)
    load_counter(token_counter, tiktoken_dir)
    totals = RecountTotals()
    counters = TokenCounters(token_counter, tiktoken_dir)
    stopped = _run(url, counters, totals, everything=everything, pooled=pooler is not None)
    report = totals.report() | {"finished": stopped is None}
    show_result(report, _text(totals), as_json=as_json)
    if stopped:
        raise stopped
    sys.exit(0 if totals.complete else 1)


def _run(
    url: str, counters: TokenCounters, totals: RecountTotals, *, everything: bool, pooled: bool
) -> click.ClickException | None:
    """Recount the sessions; return the error that stopped the command early."""
    bar = ProgressBar(1.0, "of all sessions")
    try:
        with explain_database_errors(), bar.shown():
            asyncio.run(
                recount_all(
                    url, counters, totals, everything=everything, show_progress=bar.update, pooled=pooled
                )
            )
    except SessionHistoryError as error:
        return click.ClickException(f"{error}; then {RUN_AGAIN}")
    except KeyboardInterrupt:
        return Interrupted(f"interrupted: {RUN_AGAIN}")
    return None


def _text(totals: RecountTotals) -> str:
    """Return the numbers for people."""
    recounted = f"{totals.recounted_sessions:,} of {totals.sessions:,} sessions recounted"
    lines = [f"{recounted}: {totals.changed_messages:,} token counts changed"]
    if totals.mixed_sessions:
        lines.append(f"{totals.mixed_sessions:,} stay mixed: the counter failed at some of their messages")
    if totals.busy_sessions:
        lines.append(f"{totals.busy_sessions:,} were in use for too long: run this again")
    return "\n".join(lines)
