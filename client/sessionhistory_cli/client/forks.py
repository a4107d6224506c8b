"""The commands that create a session from another: fork and reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sessionhistory import SessionFields, SessionStatus
from sessionhistory_cli.client.formatting import visible
from sessionhistory_cli.client.options import session_argument, user_option
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from sessionhistory import Session

_NEW_HELP: Final = "Id of the new session. Default: a generated one."


@click.command()
@session_argument
@click.option(
    "--through",
    "through_sequence",
    type=click.IntRange(0),
    help="Last sequence to copy. Default: the session's last.",
)
@click.option("--as", "new_session_id", metavar="ID", help=_NEW_HELP)
@click.option("--title", metavar="TEXT", default="", show_default=False, help="Title of the new session.")
@user_option
@server_options(timeout_seconds=60)
@json_option
def fork(
    server: Server,
    *,
    session_id: str,
    through_sequence: int | None,
    new_session_id: str | None,
    title: str,
    user_id: str | None,
    as_json: bool,
) -> None:
    """Create a session from the messages of another.

    Prints the id of the new session. The original does not change.
    """
    with server.client() as client:
        forked = client.fork_session(
            session_id,
            SessionFields(title=title),
            new_session_id=new_session_id,
            through_sequence=through_sequence,
            user_id=user_id,
        )
    _show_new(forked.session, as_json=as_json)


@click.command()
@session_argument
@click.option("--as", "new_session_id", metavar="ID", help=_NEW_HELP)
@click.option("--keep-messages", is_flag=True, help="Copy the messages to the new session.")
@click.option("--keep-state", is_flag=True, help="Copy the state to the new session.")
@click.option("--abandon", is_flag=True, help="Make the old session abandoned instead of completed.")
@user_option
@server_options(timeout_seconds=60)
@json_option
def reset(  # noqa: PLR0913 - an option each
    server: Server,
    *,
    session_id: str,
    new_session_id: str | None,
    keep_messages: bool,
    keep_state: bool,
    abandon: bool,
    user_id: str | None,
    as_json: bool,
) -> None:
    """End a session and create its successor.

    Prints the id of the new session. The old session keeps its messages, and accepts no more.
    """
    with server.client() as client:
        made = client.reset_session(
            session_id,
            new_session_id=new_session_id,
            user_id=user_id,
            keep_messages=keep_messages,
            keep_state=keep_state,
            previous_status=SessionStatus.ABANDONED if abandon else SessionStatus.COMPLETED,
        )
    _show_new(made.session, as_json=as_json)


def _show_new(session: Session, *, as_json: bool) -> None:
    if as_json:
        show_json(session=session)
    else:
        click.echo(visible(session.session_id))
