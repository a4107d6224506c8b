"""The commands that change what a session has become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from sessionhistory import Session, SessionStatus
from sessionhistory.cli._output import json_option, show_json, to_json
from sessionhistory.cli._server import Server, server_options
from sessionhistory.cli._text import counted, visible

if TYPE_CHECKING:
    from sessionhistory import SessionHistoryClient

_USER_HELP: Final = "User to act for; sessions of other users are not found."
_NEW_HELP: Final = "Id of the new session. Default: a generated one."
_STATUSES: Final = [status.value for status in SessionStatus if status is not SessionStatus.UNKNOWN]


def _object(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Return a JSON object."""
    try:
        parsed = None if value is None else json.loads(value)
    except (ValueError, RecursionError):
        parsed = value
    if isinstance(parsed, dict | None):
        return parsed
    raise click.BadParameter("must be a JSON object")


@click.command()
@click.argument("session_id", metavar="SESSION")
@click.option(
    "--after",
    "after_sequence",
    type=click.IntRange(0),
    required=True,
    help="Last sequence to keep; 0 removes all messages.",
)
@click.option("--user", "user_id", metavar="ID", help=_USER_HELP)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@server_options(timeout_seconds=60)
@json_option
def truncate(
    server: Server,
    *,
    session_id: str,
    after_sequence: int,
    user_id: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove the last messages of a session.

    The messages cannot be restored, and their sequences are not reused. Unless you pass --yes, the command
    asks for confirmation, and removes nothing if a message is appended before you answer.
    """
    with server.client() as client:
        expected = None if yes else _agreed(client, session_id, after_sequence, user_id)
        truncated = client.truncate_history(
            session_id, after_sequence=after_sequence, user_id=user_id, expected_last_sequence=expected
        )
    if as_json:
        show_json(truncated=truncated)
        return
    removed = counted(truncated.removed_message_count, "message")
    click.echo(f"{removed} removed, {truncated.message_count:,} left")


@click.command()
@click.argument("session_id", metavar="SESSION")
@click.option("--status", type=click.Choice(_STATUSES), help="New status.")
@click.option("--title", help="New title.")
@click.option(
    "--state",
    "patch",
    metavar="JSON",
    callback=_object,
    help="JSON merge patch of the state; null removes a member. Not together with other changes.",
)
@click.option("--user", "user_id", metavar="ID", help=_USER_HELP)
@server_options(timeout_seconds=10)
@json_option
def update(
    server: Server,
    *,
    session_id: str,
    patch: dict[str, Any] | None,
    user_id: str | None,
    as_json: bool,
    **changes: Any,  # noqa: ANN401 - of the session, by name
) -> None:
    """Change the status, title or state of a session.

    A completed or abandoned session accepts no messages until it is active again.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    if (patch is None) == (not changes):
        raise click.UsageError("give --status or --title, or --state alone")
    with server.client() as client:
        if patch is not None:
            session = client.update_state(session_id, patch, user_id=user_id)
        else:
            session = client.update_session(session_id, user_id=user_id, **changes)
    if as_json:
        show_json(session=session)
        return
    said = (
        json.dumps(to_json(session.state))
        if patch is not None
        else f"{session.status} {visible(session.title)}"
    )
    click.echo(f"{visible(session.session_id)}: {said.rstrip()}")


def _agreed(client: SessionHistoryClient, session_id: str, after_sequence: int, user_id: str | None) -> int:
    """Return the last sequence of the session that is to be truncated, if the caller agrees to it."""
    session = client.get_session(session_id, user_id=user_id)
    title = f", {visible(session.title)!r}" if session.title else ""
    click.confirm(
        f"{visible(session_id)}{title}, has {counted(session.message_count, 'message')} up to sequence"
        f" {session.last_sequence}. Remove those after {after_sequence} for good?",
        abort=True,
        err=True,
    )
    return session.last_sequence


@click.command()
@click.argument("session_id", metavar="SESSION")
@click.option(
    "--up-to",
    "up_to_sequence",
    type=click.IntRange(0),
    help="Last sequence to copy. Default: the session's last.",
)
@click.option("--as", "new_id", metavar="ID", default="", show_default=False, help=_NEW_HELP)
@click.option("--title", metavar="TEXT", default="", show_default=False, help="Title of the new session.")
@click.option("--user", "user_id", metavar="ID", help=_USER_HELP)
@server_options(timeout_seconds=60)
@json_option
def fork(
    server: Server,
    *,
    session_id: str,
    up_to_sequence: int | None,
    new_id: str,
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
            Session(session_id=new_id, title=title),
            up_to_sequence=up_to_sequence,
            user_id=user_id,
        )
    _show_new(forked.session, as_json=as_json)


@click.command()
@click.argument("session_id", metavar="SESSION")
@click.option("--as", "new_id", metavar="ID", default="", show_default=False, help=_NEW_HELP)
@click.option("--keep-history", is_flag=True, help="Copy the messages to the new session.")
@click.option("--keep-state", is_flag=True, help="Copy the state to the new session.")
@click.option("--abandon", is_flag=True, help="Make the old session abandoned instead of completed.")
@click.option("--user", "user_id", metavar="ID", help=_USER_HELP)
@server_options(timeout_seconds=60)
@json_option
def reset(
    server: Server,
    *,
    session_id: str,
    new_id: str,
    abandon: bool,
    user_id: str | None,
    as_json: bool,
    **keep: bool,
) -> None:
    """End a session and create its successor.

    Prints the id of the new session. The old session keeps its messages, and accepts no more.
    """
    with server.client() as client:
        made = client.reset_session(
            session_id,
            Session(session_id=new_id),
            user_id=user_id,
            **keep,
            previous_status=SessionStatus.ABANDONED if abandon else SessionStatus.COMPLETED,
        )
    _show_new(made.session, as_json=as_json)


def _show_new(session: Session, *, as_json: bool) -> None:
    if as_json:
        show_json(session=session)
    else:
        click.echo(visible(session.session_id))
