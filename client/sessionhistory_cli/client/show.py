"""The command that shows a session."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from sessionhistory_cli.client.blocks import Block, console, show_blocks
from sessionhistory_cli.client.formatting import ago, counted, timestamp, visible, visible_lines
from sessionhistory_cli.client.options import session_argument, user_option
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json, to_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sessionhistory import HistorySettings, Session, SessionParent
    from sessionhistory.types import JsonObject

_COLUMNS: Final = 18


@click.command()
@session_argument
@user_option
@server_options(timeout_seconds=5)
@json_option
def show(server: Server, *, session_id: str, user_id: str | None, as_json: bool) -> None:
    """Show a session.

    All fields that are set are shown, with times in UTC. Control characters are escaped; --json has the exact
    text, and all fields. `messages` shows the messages of the session, and `history` the window that a model
    gets.
    """
    with server.client() as client:
        session = client.get_session(session_id, user_id=user_id)
    if as_json:
        show_json(session=session)
    else:
        to = console()
        show_blocks(to, _lines(session, relative=to.is_terminal))


def _lines(session: Session, *, relative: bool) -> Iterator[Block]:
    """Yield a line for each field that is set, and more for a value of several lines."""
    for name, value in _values(session, relative=relative):
        first, *more = visible_lines(value).split("\n")
        yield Block(Text.assemble((f"{name:<{_COLUMNS}}", "dim"), first))
        for line in more:
            yield Block(Text(line), _COLUMNS)


def _values(session: Session, *, relative: bool) -> Iterator[tuple[str, str]]:
    moment = partial(_moment, relative=relative)
    values = {
        "session": visible(session.session_id),
        "user": visible(session.user_id),
        "application": visible(session.application_id),
        "title": visible(session.title),
        "model": visible(session.model),
        "status": session.status,
        "labels": ", ".join(visible(f"{key}={value}") for key, value in sorted(session.labels.items())),
        "messages": f"{session.message_count:,}",
        "last sequence": f"{session.last_sequence:,}",
        "tokens": f"{session.total_tokens:,}",
        "token counter": visible(session.token_counter),
        "summary": _through(session.compacted_through_sequence),
        "history settings": _settings(session.history_settings),
        "parent": _parent(session.parent),
        "created": moment(session.create_time),
        "last activity": moment(session.last_activity_time),
        "changed": moment(session.update_time),
        "ended": moment(session.end_time),
        "expires": timestamp(session.expire_time),
        "etag": visible(session.etag),
        "metadata": _json(session.metadata),
        "state version": f"{session.state_version:,}",
        "state": _json(session.state),
    }
    return ((name, value) for name, value in values.items() if value)


def _through(sequence: int) -> str:
    return f"through sequence {sequence:,}" if sequence else ""


def _parent(parent: SessionParent | None) -> str:
    return f"{visible(parent.session_id)} through sequence {parent.through_sequence:,}" if parent else ""


def _settings(settings: HistorySettings | None) -> str:
    return ", ".join(_each_setting(settings)) if settings else ""


def _each_setting(settings: HistorySettings) -> Iterator[str]:
    numbers = {
        "at most": {"message": settings.max_messages, "token": settings.token_budget},
        "steps of": {"message": settings.step_messages, "token": settings.step_tokens},
    }
    for said, limits in numbers.items():
        yield from (f"{said} {counted(limit, name)}" for name, limit in limits.items() if limit is not None)
    if settings.unanswered_calls is not None:
        yield f"unanswered calls: {settings.unanswered_calls}"
    if settings.whole_responses is not None:
        yield f"whole responses: {'yes' if settings.whole_responses else 'no'}"


def _moment(time: datetime | None, *, relative: bool) -> str:
    return f"{timestamp(time)} ({ago(time)})" if time and relative else timestamp(time)


def _json(value: JsonObject | None) -> str:
    return "" if value is None else json.dumps(to_json(value), ensure_ascii=False, indent=2)
