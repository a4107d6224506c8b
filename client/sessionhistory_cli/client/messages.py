"""The command that shows messages of a session, exactly as they are stored."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from sessionhistory import MessageOrder, Role
from sessionhistory_cli.client.blocks import console, show_blocks
from sessionhistory_cli.client.next_command import next_command
from sessionhistory_cli.client.options import (
    ROLES,
    full_option,
    limit_option,
    session_argument,
    time_options,
    user_option,
)
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.client.transcript import Transcript
from sessionhistory_cli.json_output import show_json_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory import Message

_MAX_PAGE_SIZE: Final = 1_000


def _before(_: click.Context, __: click.Parameter, sequence: int | None) -> int | None:
    return None if sequence is None else sequence - 1


@click.command()
@session_argument
@user_option
@click.option(
    "--from",
    "after_sequence",
    type=click.IntRange(1),
    callback=_before,
    help="Show the first messages from this sequence on.",
)
@click.option(
    "--before", "before_sequence", type=click.IntRange(1), help="Only messages before this sequence."
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="Only messages with this role; may be repeated.",
)
@time_options("created", "create_time", "Only messages stored")
@limit_option("messages")
@click.option("--all", "unlimited", is_flag=True, help="Show all of them, however many.")
@full_option
@server_options(timeout_seconds=10)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one message per line.")
@click.pass_context
def messages(
    context: click.Context,
    /,
    *,
    server: Server,
    after_sequence: int | None,
    roles: tuple[str, ...],
    limit: int,
    unlimited: bool,
    **rest: Any,  # noqa: ANN401 - how to show them, and filters, by name
) -> None:
    """Show messages of a session, exactly as they are stored.

    Without --from or --all, these are the newest ones. They are shown in the order of the session, the oldest
    first. Unlike in `history`, nothing is left out: messages that a summary covers are shown as well, and
    summaries are not.

    TIME is a date or time in ISO 8601, in UTC if it names no zone, or a span before now: 30m, 3h, 2d. On a
    terminal, long texts are shortened in the middle unless you pass --full. Elsewhere everything is whole.
    Control characters are escaped; --json has the exact text and all fields.
    """
    if unlimited and context.get_parameter_source("limit") is ParameterSource.COMMANDLINE:
        raise click.UsageError("give --limit or --all")
    form = {name: rest.pop(name) for name in ("full", "as_json")}
    forward = unlimited or after_sequence is not None
    with server.client() as client:
        found = client.list_messages(
            **rest,
            after_sequence=after_sequence or 0,
            roles=[Role(role) for role in roles],
            order_by=MessageOrder.SEQUENCE_ASC if forward else MessageOrder.SEQUENCE_DESC,
            page_size=_MAX_PAGE_SIZE if unlimited else min(limit + 1, _MAX_PAGE_SIZE),
        )
        if unlimited:
            _show(found, **form)
        elif forward:
            _show_first(context, list(islice(found, limit + 1)), limit, **form)
        else:
            _show_last(context, list(islice(found, limit + 1)), limit, **form)


def _show_first(context: click.Context, found: list[Message], limit: int, **form: bool) -> None:
    """Show the first messages, and the command for the next ones."""
    _show(found[:limit], **form)
    for following in found[limit:]:
        _tell("newer", next_command(context, "--from", str(following.sequence), without=("after_sequence",)))


def _show_last(context: click.Context, found: list[Message], limit: int, **form: bool) -> None:
    """Show the last messages, which arrive newest first, and the command for the messages before them."""
    shown = found[:limit][::-1]
    _show(shown, **form)
    if found[limit:]:
        _tell(
            "older", next_command(context, "--before", str(shown[0].sequence), without=("before_sequence",))
        )


def _tell(side: str, command: str) -> None:
    click.echo(f"{side} messages: {command}", err=True)


def _show(found: Iterable[Message], *, full: bool, as_json: bool) -> None:
    """Show messages as they arrive, because a whole session may not fit into memory."""
    count = 0
    to = console()
    transcript = Transcript(full=full or not to.is_terminal)
    for count, message in enumerate(found, start=1):
        if as_json:
            show_json_line(message)
        else:
            # The first message has no empty line before it.
            show_blocks(to, islice(transcript.message(message), 1 if count == 1 else 0, None))
    if not count:
        click.echo("no such messages", err=True)
