"""The commands that change what a session has become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from sessionhistory import Session, SessionStatus
from sessionhistory.cli._output import json_option, show_json
from sessionhistory.cli._server import Server, server_options
from sessionhistory.cli._text import counted, visible

if TYPE_CHECKING:
    from sessionhistory import SessionHistoryClient

_USER_HELP: Final = "The user to act for: another's session is not found."
_NEW_HELP: Final = "The id of the new session; otherwise one is made."
_STATUSES: Final = [status.value for status in SessionStatus if status is not SessionStatus.UNKNOWN]


def _object(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Return a JSON object."""
    try:
        parsed = None if value is None else json.loads(value)
    except ValueError:
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
    help="The last sequence to keep; 0 removes all.",
)
@click.option("--user", "user_id", metavar="ID", help=_USER_HELP)
@click.option("--yes", is_flag=True, help="Do not ask.")
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

    They are gone for good, and their sequences are not used again. Unless --yes is given it asks first, and
    removes nothing if a message is appended before it is answered.
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
@click.option("--status", type=click.Choice(_STATUSES), help="Where it stands.")
@click.option("--title", help="Its title.")
@click.option(
    "--state",
    "patch",
    metavar="JSON",
    callback=_object,
    help="A merge patch of its state, as '{\"step\": null}': null removes. Goes alone.",
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
    """Change a session: its status, title or state.

    A session that is completed or abandoned takes no messages until it is active again.
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
    said = json.dumps(session.state) if patch is not None else f"{session.status} {visible(session.title)}"
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
@click.option("--up-to", "up_to_sequence", type=click.IntRange(0), help="The last sequence to copy.")
@click.option("--as", "new_id", metavar="ID", default="", show_default=False, help=_NEW_HELP)
@click.option("--title", metavar="TEXT", default="", show_default=False, help="The new session's title.")
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
    """Make a session with the messages of another.

    Prints the new session's id. The other one stays as it is.
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
@click.option("--keep-history", is_flag=True, help="Go on with the messages.")
@click.option("--keep-state", is_flag=True, help="Go on with the state.")
@click.option("--abandon", is_flag=True, help="The old session becomes abandoned, not completed.")
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
    """End a session, and make a new one that goes on in its place.

    Prints the new session's id. The old one keeps its messages, and takes no more.
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
