"""The command that changes the status, title or state of a session."""

from __future__ import annotations

import json
from typing import Any

import click

from sessionhistory_cli.client.formatting import visible
from sessionhistory_cli.client.options import STATUSES, session_argument, user_option
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json, to_json
from sessionhistory_cli.shared_options import json_option


def _json_object(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Parse a JSON object."""
    try:
        parsed = None if value is None else json.loads(value)
    except (ValueError, RecursionError):
        parsed = value
    if isinstance(parsed, dict | None):
        return parsed
    raise click.BadParameter("must be a JSON object")


@click.command()
@session_argument
@click.option("--status", type=click.Choice(STATUSES), help="New status.")
@click.option("--title", help="New title.")
@click.option(
    "--state",
    "patch",
    metavar="JSON",
    callback=_json_object,
    help="JSON merge patch of the state; null removes a member. Not together with other changes.",
)
@user_option
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
