"""The commands that delete a session and restore it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sessionhistory.errors import SessionNotFoundError
from sessionhistory_cli.client.confirmation import confirm, describe
from sessionhistory_cli.client.formatting import counted, timestamp, visible
from sessionhistory_cli.client.next_command import next_command
from sessionhistory_cli.client.options import session_argument, user_option, yes_option
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from sessionhistory import Session, SessionHistoryClient


@click.command()
@session_argument
@user_option
@click.option(
    "--purge",
    is_flag=True,
    help="Remove the session for good, even if it is deleted already, and free its id.",
)
@yes_option
@server_options(timeout_seconds=60)
@json_option
@click.pass_context
def delete(
    context: click.Context,
    /,
    *,
    server: Server,
    session_id: str,
    user_id: str | None,
    purge: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete a session; `undelete` can restore it for a time.

    The command prints until when, or that the server keeps no deleted sessions. With --purge the session and
    its messages cannot be restored; unless you pass --yes, the command asks for confirmation before.
    """
    with server.client() as client:
        if purge and not yes:
            confirm(f"{_describe(client, session_id, user_id)}. Remove it for good?")
        session = client.delete_session(session_id, user_id=user_id, purge=purge)
    if as_json:
        show_json(session=session)
    elif session:
        click.echo(_purged(session) if purge else _deleted(session, context))


def _describe(client: SessionHistoryClient, session_id: str, user_id: str | None) -> str:
    """Describe a session that may be deleted already."""
    try:
        return describe(client.get_session(session_id, user_id=user_id))
    except SessionNotFoundError:
        return f"{visible(session_id)} is deleted already, if it exists"


def _purged(session: Session) -> str:
    return f"{visible(session.session_id)} is removed, with {counted(session.message_count, 'message')}"


def _deleted(session: Session, context: click.Context) -> str:
    deleted = f"{visible(session.session_id)} is deleted"
    if session.purge_time == session.delete_time:
        return f"{deleted}; this server keeps no deleted sessions, and is about to remove it for good"
    restore = next_command(context, name="undelete", without=("yes",))
    return f"{deleted}; until {timestamp(session.purge_time)} this restores it:\n  {restore}"


@click.command()
@session_argument
@user_option
@server_options(timeout_seconds=10)
@json_option
def undelete(server: Server, *, session_id: str, user_id: str | None, as_json: bool) -> None:
    """Restore a deleted or expired session.

    `session-history sessions --deleted` lists them. A session that has been purged cannot be restored.
    """
    with server.client() as client:
        session = client.undelete_session(session_id, user_id=user_id)
    if as_json:
        show_json(session=session)
    else:
        count = counted(session.message_count, "message")
        click.echo(f"{visible(session.session_id)} is restored, with {count}")
