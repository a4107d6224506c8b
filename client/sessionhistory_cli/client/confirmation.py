"""Ask for confirmation before data is removed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sessionhistory_cli.client.formatting import counted, visible

if TYPE_CHECKING:
    from sessionhistory import Session


def describe(session: Session) -> str:
    """Return a session's id, title and size, so that the user recognizes it."""
    title = f' ("{visible(session.title)}")' if session.title else ""
    count = counted(session.message_count, "message")
    return f"{visible(session.session_id)}{title} has {count} up to sequence {session.last_sequence:,}"


def confirm(question: str) -> None:
    """Ask on the terminal; end the command unless the answer is yes.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise click.UsageError(
            "standard input is not a terminal, so the command cannot ask: pass --yes to confirm"
        )
    click.confirm(question, abort=True, err=True)
