"""Short functions that build and send the pieces of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rpc_support import stored

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import message_pb2 as mpb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.service import Service

Piece = stream_pb.AppendMessageStreamRequest
KEEP, DROP = stream_pb.ON_BREAK_KEEP, stream_pb.ON_BREAK_DROP
INTERRUPTED, COMPLETE = mpb.MESSAGE_STATUS_INTERRUPTED, mpb.MESSAGE_STATUS_COMPLETE


def header(session_id: str = "s", message_id: str = "m", **fields: Any) -> Piece:
    """Return a header; ``message`` is the beginning of the message, without its id."""
    message = {"message_id": message_id} | fields.pop("message", {})
    return Piece(header={"session_id": session_id, "message": message} | fields)


def text(said: str) -> Piece:
    """Return a delta of text."""
    return Piece(delta={"text": said})


def tool_call(index: int, **fields: str) -> Piece:
    """Return a delta of a tool call."""
    return Piece(delta={"tool_calls": [{"index": index} | fields]})


def finish(**fields: Any) -> Piece:
    """Return a finish."""
    return Piece(finish=fields)


async def stream(service: Service, *pieces: Piece, **options: Any) -> Any:
    """Send pieces and end the stream."""
    return await service.stub.AppendMessageStream(iter(pieces), **options)


async def begin(service: Service, *pieces: Piece, **options: Any) -> Any:
    """Begin a stream, wait until its header is accepted, and leave it open."""
    call = service.stub.AppendMessageStream(**options)
    for piece in pieces:
        await call.write(piece)
    await call.initial_metadata()
    return call


async def contents(service: Service, session_id: str = "s") -> list[tuple[str, int]]:
    """Return the text and the status of each stored message."""
    return [(message.content, message.status) for message in await stored(service, session_id)]


def whole(pieces: Sequence[Piece]) -> mpb.Message:
    """Return the message that pieces make, put together in the simplest way."""
    message = mpb.Message.FromString(pieces[0].header.message.SerializeToString())
    message.role = message.role or mpb.ROLE_ASSISTANT
    for piece in pieces[1:]:
        if piece.delta.HasField("text"):
            message.content += piece.delta.text
        for more in piece.delta.tool_calls:
            known = message.tool_calls[more.index] if more.index < len(message.tool_calls) else None
            known = known or message.tool_calls.add()
            known.id, known.name = more.id or known.id, more.name or known.name
            known.arguments += more.arguments
        message.parts.extend(piece.delta.parts)
    return message
