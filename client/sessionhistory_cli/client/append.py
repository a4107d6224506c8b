"""The command that stores standard input as a message."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import click

from sessionhistory import Message, MessageStatus, OnBreak, Role, SessionFields
from sessionhistory.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from sessionhistory_cli.client.formatting import counted, first, visible
from sessionhistory_cli.client.input_text import InputError, explain_end_of_input, read_text
from sessionhistory_cli.client.options import ROLES, session_argument
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.interrupts import Interrupted
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from io import BufferedIOBase

    from sessionhistory import (
        AppendMessageResult,
        MessageStream,
        SessionHistoryClient,
        SessionHistoryError,
    )


@click.command()
@session_argument
@click.option("--role", type=click.Choice(ROLES), default="assistant", help="Role of the message.")
@click.option(
    "--user",
    "user_id",
    metavar="ID",
    help="User to act for; sessions of other users are not found. With --create, the owner of a new session.",
)
@click.option("--create", is_flag=True, help="Create the session if it does not exist.")
@click.option(
    "--application",
    "application_id",
    metavar="ID",
    default="",
    show_default=False,
    help="With --create, the application of a new session.",
)
@click.option(
    "--message-id",
    metavar="ID",
    default="",
    show_default=False,
    help="Id of the message: repeating the command with it stores nothing twice.",
)
@click.option("--turn-id", metavar="ID", default="", show_default=False, help="Turn that it belongs to.")
@click.option(
    "--drop",
    is_flag=True,
    help="If interrupted, or if the input cannot be stored, store nothing instead of the text so far.",
)
@click.option("--allow-empty", is_flag=True, help="If standard input is empty, store a message without text.")
@server_options(timeout_seconds=5)
@json_option
def append(  # noqa: PLR0913 - an option each
    *,
    server: Server,
    session_id: str,
    role: str,
    user_id: str | None,
    create: bool,
    application_id: str,
    message_id: str,
    turn_id: str,
    drop: bool,
    allow_empty: bool,
    as_json: bool,
) -> None:
    """Store standard input as a message.

    The text, in UTF-8, is sent as it arrives, and stored when standard input ends. If the command is
    interrupted, for example by Ctrl-C, or if the input becomes too large or is not text, the text that had
    arrived is stored as an interrupted message, and the command fails with an error that says so. An empty
    input is refused unless you pass --allow-empty.
    """
    if application_id and not create:
        raise click.UsageError("--application needs --create: an existing session keeps its application")
    with server.client() as client:
        stream = client.append_message_stream(
            session_id,
            Message(role=Role(role), message_id=message_id, turn_id=turn_id),
            user_id=user_id,
            new_session=SessionFields(application_id=application_id) if create else None,
            on_break=OnBreak.DROP if drop else OnBreak.KEEP,
        )
        try:
            stored = _store(stream, allow_empty=allow_empty)
        except KeyboardInterrupt:
            kept = _kept(client, session_id, stream.message_id, user_id)
            raise Interrupted(_interrupted(kept, session_id)) from None
        except InputError as error:
            kept = _kept(client, session_id, stream.message_id, user_id)
            raise click.ClickException(f"{error}; {_stored_part(kept, session_id)}") from error
        except _LostError as error:
            raise click.ClickException(
                f"{server.explain(error.cause).message}. It is not known whether the message is stored:"
                f" appending the same text with --message-id {stream.message_id} stores it once"
            ) from error
    if as_json:
        show_json(message=stored.message)
    else:
        where = f"{visible(stored.session_id)} as message {stored.message.sequence:,}"
        click.echo(f"stored in {where}, {counted(stored.message.token_count or 0, 'token')}")


class _LostError(Exception):
    """The connection was lost at a time when the server may already have stored the message."""

    def __init__(self, cause: SessionHistoryError) -> None:
        super().__init__()
        self.cause = cause


def _store(stream: MessageStream, *, allow_empty: bool) -> AppendMessageResult:
    """Write standard input to the stream until it ends.

    Raises:
        InputError: the input cannot be stored.
    """
    with stream:
        # The server has already accepted the beginning of the message, so only the input can be invalid.
        try:
            return _write(stream, allow_empty=allow_empty)
        except InvalidArgumentError as error:
            rules = "; ".join(violation.description for violation in error.violations)
            raise InputError(f"the input {rules}") from error
        except (UnavailableError, DeadlineExceededError) as error:
            raise _LostError(error) from error


def _write(stream: MessageStream, *, allow_empty: bool) -> AppendMessageResult:
    explain_end_of_input(sys.stdin)
    empty = True
    for text in read_text(cast("BufferedIOBase", sys.stdin.buffer)):
        empty = empty and not text
        stream.write(text)
    if empty and not allow_empty:
        raise InputError("the input is empty, and --allow-empty is not given")
    return stream.finish()


def _kept(
    client: SessionHistoryClient, session_id: str, message_id: str, user_id: str | None
) -> Message | None:
    """Return the interrupted message that the server has stored from a broken stream."""
    try:
        found = client.get_message(session_id, message_id=message_id, user_id=user_id)
    except NotFoundError:
        return None
    return found if found.status is MessageStatus.INTERRUPTED else None


def _interrupted(kept: Message | None, session_id: str) -> str:
    if kept is None:
        return "interrupted: nothing is stored"
    where = f"{visible(session_id)} as message {kept.sequence:,}"
    return f"interrupted: the text that had arrived is stored in {where}"


def _stored_part(kept: Message | None, session_id: str) -> str:
    """Return a sentence about the stored part of an invalid input, and how to replace it."""
    if kept is None:
        return "nothing is stored"
    return (
        f"its {first(len(kept.content or ''), 'character')} stored in {visible(session_id)} as"
        f" message {kept.sequence:,}, as interrupted; appending the right text with --message-id"
        f" {kept.message_id} replaces that message while it is the last"
    )
