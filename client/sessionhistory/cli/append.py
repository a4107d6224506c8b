"""The command that stores what comes on the standard input."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING, Final, cast

import click

from sessionhistory import Message, OnBreak, Role, Session
from sessionhistory.cli._output import json_option, say_how_to_end, show_json
from sessionhistory.cli._server import Interrupted, Server, server_options
from sessionhistory.cli._text import counted, visible
from sessionhistory.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase

    from sessionhistory import AppendMessageResult, MessageStream, SessionHistoryClient


_CHUNK_BYTES: Final = 16_384
_ROLES: Final = [role.value for role in Role if role is not Role.UNKNOWN]


@click.command()
@click.argument("session_id", metavar="SESSION")
@click.option("--role", type=click.Choice(_ROLES), default="assistant", help="Role of the message.")
@click.option(
    "--user", "user_id", metavar="ID", help="User to act for; sessions of other users are not found."
)
@click.option("--create", is_flag=True, help="Create the session, for that user, if it does not exist.")
@click.option(
    "--message-id",
    metavar="ID",
    default="",
    show_default=False,
    help="Id of the message: repeating the command with it stores nothing twice.",
)
@click.option("--turn-id", metavar="ID", default="", show_default=False, help="Turn that it belongs to.")
@click.option("--drop", is_flag=True, help="If interrupted, store nothing instead of what had arrived.")
@server_options(timeout_seconds=5)
@json_option
def append(  # noqa: PLR0913 - an option each
    *,
    server: Server,
    session_id: str,
    role: str,
    user_id: str | None,
    create: bool,
    message_id: str,
    turn_id: str,
    drop: bool,
    as_json: bool,
) -> None:
    """Store standard input as a message.

    The text is sent as it arrives, and stored when standard input ends. If the command is interrupted, for
    example by Ctrl-C, what had arrived is stored as an interrupted message.
    """
    with server.client() as client:
        stream = client.append_message_stream(
            session_id,
            Message(role=Role(role), message_id=message_id, turn_id=turn_id),
            user_id=user_id,
            create_session=Session(user_id=user_id or "") if create else None,
            on_break=OnBreak.DROP if drop else OnBreak.KEEP,
        )
        try:
            stored = _store(stream)
        except KeyboardInterrupt:
            raise Interrupted(_left(client, session_id, stream.message_id, user_id)) from None
    if as_json:
        show_json(message=stored.message)
    else:
        where = f"{visible(stored.session_id)} as message {stored.message.sequence:,}"
        click.echo(f"stored in {where}, {counted(stored.message.token_count or 0, 'token')}")


def _store(stream: MessageStream) -> AppendMessageResult:
    """Write the standard input to the stream, until it ends."""
    with stream:
        say_how_to_end(sys.stdin)
        for text in _texts(cast("BufferedIOBase", sys.stdin.buffer)):
            stream.write(text)
        return stream.finish()


def _left(client: SessionHistoryClient, session_id: str, message_id: str, user_id: str | None) -> str:
    """Return what to say of a stream that was interrupted: what is stored of it, if anything."""
    try:
        kept = client.get_message(session_id, message_id=message_id, user_id=user_id)
    except NotFoundError:
        return "interrupted: nothing is stored"
    return (
        f"interrupted: what had arrived is stored in {visible(session_id)} as message {kept.sequence or 0:,}"
    )


def _texts(source: BufferedIOBase) -> Iterator[str]:
    """Yield text as it comes.

    Raises:
        click.ClickException: it is no UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while data := source.read1(_CHUNK_BYTES):
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise click.ClickException("the standard input is no UTF-8 text") from error
