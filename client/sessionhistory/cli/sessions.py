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
from sessionhistory.cli._output import console, json_option, show_json, to_json
from sessionhistory.cli._server import Server, server_options
from sessionhistory.cli._text import ago, visible

if TYPE_CHECKING:
    from rich.console import Console

    from sessionhistory import Session

_MAX_PAGE_SIZE: Final = 1_000
_STATUSES: Final = [status.value for status in SessionStatus if status is not SessionStatus.UNKNOWN]
_ORDERS: Final = {"activity": SessionOrder.LAST_ACTIVITY, "creation": SessionOrder.CREATION}


def _labels(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    labels = {key: label for key, equals, label in pairs if equals}
    if len(labels) < len(values):
        raise click.BadParameter("give each as KEY=VALUE, and no key twice")
    return labels


@click.command()
@click.option("--user", "user_id", metavar="ID", help="Only sessions of this user.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(_STATUSES),
    help="Only sessions with this status; may be repeated.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_labels,
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
@click.option(
    "--order", type=click.Choice(list(_ORDERS)), default="activity", help="Time to order by, newest first."
)
@click.option("--limit", type=click.IntRange(1), default=20, help="Maximum number of sessions.")
@server_options(timeout_seconds=5)
@json_option
def sessions(server: Server, *, order: str, limit: int, as_json: bool, **filters: Any) -> None:  # noqa: ANN401 - of the list, by name
    """List sessions, newest first.

    If the output is not a terminal, each session is one line of tab-separated values: id, title, user,
    status, number of messages, tokens, time of the last activity.
    """
    with server.client() as client:
        page_size = min(limit + 1, _MAX_PAGE_SIZE)
        found = client.list_sessions(page_size=page_size, order_by=_ORDERS[order], **filters)
        several = list(islice(found, limit + 1))
    shown, more = several[:limit], len(several) > limit
    if as_json:
        show_json(sessions=shown, more=more)
        return
    _show(console(), shown)
    if not shown:
        click.echo("no such sessions", err=True)
    if more:
        click.echo(f"these are the newest {limit:,}; --limit shows more", err=True)


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
        to_json(_last_activity(session)) or "",
    )


def _table(found: list[Session]) -> Table:
    """Return sessions as a table; user and title stand below the id, which is never cut off."""
    with_status = any(_status(session) != SessionStatus.ACTIVE for session in found)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("id, user, title", ratio=1)
    if with_status:
        table.add_column("status")
    for name in ("messages", "tokens", "active"):
        table.add_column(name, justify="right", no_wrap=True)
    for session in found:
        table.add_row(
            Group(Text(visible(session.session_id), "cyan", overflow="fold"), _described(session)),
            *((_status(session),) if with_status else ()),
            f"{session.message_count:,}",
            f"{session.total_tokens:,}",
            ago(_last_activity(session)),
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


def _last_activity(session: Session) -> datetime | None:
    return session.last_message_time or session.create_time
