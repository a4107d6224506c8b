"""The command that lists sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sessionhistory import SessionOrder, SessionStatus
from sessionhistory_cli.client.blocks import console
from sessionhistory_cli.client.formatting import ago, visible
from sessionhistory_cli.client.options import STATUSES, limit_option, time_options
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json, to_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from rich.console import Console

    from sessionhistory import Session

_MAX_PAGE_SIZE: Final = 1_000
_ORDERS: Final = {
    ("last-activity", False): SessionOrder.LAST_ACTIVITY_TIME_DESC,
    ("last-activity", True): SessionOrder.LAST_ACTIVITY_TIME_ASC,
    ("created", False): SessionOrder.CREATE_TIME_DESC,
    ("created", True): SessionOrder.CREATE_TIME_ASC,
}


def _parse_labels(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    labels = {key: label for key, equals, label in pairs if equals}
    if len(labels) < len(values):
        raise click.BadParameter("give each as KEY=VALUE, and no key twice")
    return labels


@click.command()
@click.option("--user", "user_id", metavar="ID", help="Only sessions of this user.")
@click.option("--application", "application_id", metavar="ID", help="Only sessions of this application.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES),
    help="Only sessions with this status; may be repeated.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_parse_labels,
    help="Only sessions with this label; may be repeated.",
)
@click.option(
    "--title",
    "title_contains",
    metavar="TEXT",
    default="",
    show_default=False,
    help="Only sessions whose title contains this.",
)
@click.option("--deleted", "show_deleted", is_flag=True, help="Also list deleted and expired sessions.")
@time_options("created", "create_time", "Only sessions created")
@time_options("last-activity", "last_activity_time", "Only sessions with their last activity")
@click.option(
    "--order",
    type=click.Choice(["last-activity", "created"]),
    default="last-activity",
    help="Time to order by.",
)
@click.option("--oldest-first", is_flag=True, help="Show those with the earliest time first.")
@limit_option("sessions")
@server_options(timeout_seconds=5)
@json_option
def sessions(
    server: Server,
    *,
    order: str,
    oldest_first: bool,
    limit: int,
    as_json: bool,
    **filters: Any,  # noqa: ANN401 - of the list, by name
) -> None:
    """List sessions, newest first.

    The last activity of a session is when its last message was stored, or when it was created. TIME is a date
    or time in ISO 8601, in UTC if it names no zone, or a span before now: 30m, 3h, 2d.

    If the output is not a terminal, each session is one line of tab-separated values: id, title, user,
    status, number of messages, tokens, time of the last activity.
    """
    with server.client() as client:
        page_size = min(limit + 1, _MAX_PAGE_SIZE)
        order_by = _ORDERS[order, oldest_first]
        found = client.list_sessions(page_size=page_size, order_by=order_by, **filters)
        several = list(islice(found, limit + 1))
    shown, more = several[:limit], len(several) > limit
    if as_json:
        show_json(sessions=shown, more=more)
        return
    _show(console(), shown)
    if not shown:
        click.echo("no such sessions", err=True)
    if more:
        click.echo(
            f"these are the {'oldest' if oldest_first else 'newest'} {limit:,}; --limit shows more", err=True
        )


def _show(to: Console, found: list[Session]) -> None:
    if found and to.is_terminal:
        to.print(_table(found))
    else:
        for session in found:
            click.echo("\t".join(_values(session)))


def _values(session: Session) -> tuple[str, ...]:
    return (
        visible(session.session_id),
        visible(session.title),
        visible(session.user_id),
        _status(session),
        str(session.message_count),
        str(session.total_tokens),
        to_json(session.last_activity_time),
    )


def _table(found: list[Session]) -> Table:
    """Return sessions as a table. User and title are below the id, so that the id is never cut off."""
    with_status = any(_status(session) != SessionStatus.ACTIVE for session in found)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("id, user, title", ratio=1)
    if with_status:
        table.add_column("status")
    for name in ("messages", "tokens", "activity"):
        table.add_column(name, justify="right", no_wrap=True)
    for session in found:
        table.add_row(
            Group(Text(visible(session.session_id), "cyan", overflow="fold"), _described(session)),
            *((_status(session),) if with_status else ()),
            f"{session.message_count:,}",
            f"{session.total_tokens:,}",
            ago(session.last_activity_time),
        )
    return table


def _described(session: Session) -> Text:
    parts = [visible(" ".join(text.split())) for text in (session.user_id, session.title) if text]
    return Text("  " + " · ".join(parts), no_wrap=True, overflow="ellipsis")


def _status(session: Session) -> str:
    if session.delete_time:
        return "deleted"
    if session.expire_time and session.expire_time <= datetime.now(UTC):
        return "expired"
    return session.status
