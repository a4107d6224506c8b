"""The command that removes the last messages of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sessionhistory_cli.client.confirmation import confirm, describe
from sessionhistory_cli.client.formatting import counted
from sessionhistory_cli.client.options import session_argument, user_option, yes_option
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from sessionhistory import SessionHistoryClient


@click.command()
@session_argument
@click.option(
    "--keep-through",
    "keep_through_sequence",
    type=click.IntRange(0),
    required=True,
    help="Last sequence to keep; 0 removes all messages.",
)
@user_option
@yes_option
@server_options(timeout_seconds=60)
@json_option
def truncate(
    server: Server,
    *,
    session_id: str,
    keep_through_sequence: int,
    user_id: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove the last messages of a session.

    The messages cannot be restored, and their sequences are not reused. Unless you pass --yes, the command
    asks for confirmation, and removes nothing if a message is appended before you answer.
    """
    with server.client() as client:
        expected = (
            None if yes else _confirmed_last_sequence(client, session_id, keep_through_sequence, user_id)
        )
        truncated = client.truncate_messages(
            session_id,
            keep_through_sequence=keep_through_sequence,
            user_id=user_id,
            expected_last_sequence=expected,
        )
    if as_json:
        show_json(truncated=truncated)
        return
    removed = counted(truncated.removed_message_count, "message")
    click.echo(f"{removed} removed, {truncated.message_count:,} left")


def _confirmed_last_sequence(
    client: SessionHistoryClient, session_id: str, keep_through: int, user_id: str | None
) -> int:
    """Ask for confirmation; return the last sequence of the session that the user has agreed to truncate."""
    session = client.get_session(session_id, user_id=user_id)
    confirm(f"{describe(session)}. Remove those after {keep_through:,} for good?")
    return session.last_sequence
