"""The command that puts a summary in the place of older messages."""

from __future__ import annotations

import hashlib
from typing import Any, TextIO

import click

from sessionhistory import Message, Role
from sessionhistory.cli._output import json_option, say_how_to_end, show_json
from sessionhistory.cli._server import Server, server_options
from sessionhistory.cli._text import counted


@click.command()
@click.argument("session_id", metavar="SESSION")
@click.argument("summary", type=click.File(encoding="utf-8"), default="-", metavar="[FILE]")
@click.option(
    "--through",
    "through_sequence",
    type=click.IntRange(1),
    required=True,
    help="Sequence of the last message that the summary covers.",
)
@click.option(
    "--user", "user_id", metavar="ID", help="User to act for; sessions of other users are not found."
)
@click.option("--model", default="", show_default=False, help="Model that wrote the summary.")
@click.option(
    "--token-count", type=click.IntRange(0), help="Tokens of the summary. Default: the server counts them."
)
@click.option(
    "--expected-through",
    "expected_compacted_through_sequence",
    type=click.IntRange(0),
    help="Only if the session is compacted through this sequence; 0 means not compacted.",
)
@server_options(timeout_seconds=60)
@json_option
def compact(
    server: Server,
    *,
    session_id: str,
    summary: TextIO,
    through_sequence: int,
    model: str,
    token_count: int | None,
    as_json: bool,
    **rest: Any,  # noqa: ANN401 - of the call, by name
) -> None:
    """Store a summary in place of the older messages of a session.

    The summary is read from FILE, or from standard input. From then on, the context of the session is the
    summary and the messages after it. The older messages are not removed, and can still be listed. Storing
    the same summary again changes nothing; a different one for the same messages replaces it.
    """
    say_how_to_end(summary)
    text = summary.read().strip()
    if not text:
        raise click.UsageError("the summary is empty")
    # An id of the text's own: the same text is the same summary.
    message = Message(
        message_id=hashlib.sha256(text.encode()).hexdigest(),
        role=Role.SYSTEM,
        content=text,
        model=model,
        token_count=token_count,
    )
    with server.client() as client:
        compacted = client.compact_history(session_id, message, through_sequence=through_sequence, **rest)
    if as_json:
        show_json(compacted=compacted)
        return
    covered, tokens = compacted.summary, compacted.message.token_count or 0
    click.echo(
        f"summary stored for {counted(covered.message_count, 'message')} up to sequence"
        f" {covered.through_sequence:,}: {counted(tokens, 'token')} instead of {covered.total_tokens:,}"
    )
