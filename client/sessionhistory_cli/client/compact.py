"""The command that stores a summary in place of older messages in the history."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import click

from sessionhistory import Message, Role
from sessionhistory_cli.client.formatting import counted
from sessionhistory_cli.client.input_text import InputError, explain_end_of_input, read_text
from sessionhistory_cli.client.options import session_argument, user_option
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from io import BufferedReader


@click.command()
@session_argument
@click.argument("file", type=click.File("rb"), default="-", metavar="[FILE]")
@click.option(
    "--through",
    "through_sequence",
    type=click.IntRange(1),
    required=True,
    help="Sequence of the last message that the summary covers.",
)
@user_option
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
    file: BufferedReader,
    through_sequence: int,
    model: str,
    token_count: int | None,
    as_json: bool,
    **rest: Any,  # noqa: ANN401 - of the call, by name
) -> None:
    """Store a summary in place of older messages in a session's history.

    The summary, text in UTF-8, is read from FILE, or from standard input. From then on, the history of the
    session is the summary and the messages after it. The older messages are not removed, and `messages`
    still shows them. Storing the same summary again changes nothing; a different one for the same messages
    replaces it.
    """
    text = _read(file)
    # The id is made of the text, so that storing the same text again changes nothing.
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
        f"summary stored for {counted(covered.message_count, 'message')} through sequence"
        f" {covered.through_sequence:,}: {counted(tokens, 'token')} instead of {covered.total_tokens:,}"
    )


def _read(file: BufferedReader) -> str:
    """Read the summary.

    Raises:
        click.ClickException: the input is empty, or is not text.
    """
    explain_end_of_input(file)
    try:
        text = "".join(read_text(file)).strip()
    except InputError as error:
        raise click.ClickException(str(error)) from error
    if not text:
        raise click.ClickException("the input is empty: a summary has text")
    return text
