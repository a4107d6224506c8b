"""The pieces of a message that is streamed, and the message that they make."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from sessionhistory._enums import MESSAGE_STATUSES, ON_BREAKS
from sessionhistory._failures import invalid_field
from sessionhistory._fields import build, history_options, json_object, message, message_part, number, session
from sessionhistory._fields import usage as of_usage
from sessionhistory._requests import session_id_of, user_of
from sessionhistory.v1 import append_message_stream_pb2 as pb
from sessionhistory.v1 import message_pb2

if TYPE_CHECKING:
    from sessionhistory import types

Piece = pb.AppendMessageStreamRequest


def header(
    session_id: str | None,
    source: types.Message,
    *,
    user_id: str | None,
    create: types.Session | None,
    expected_last_sequence: int | None,
    history: types.HistoryOptions | None,
    on_break: types.OnBreak,
) -> Piece:
    """Begin a message."""
    made = build(
        pb.AppendMessageStreamHeader,
        "header",
        session_id=session_id_of(session_id, create),
        user_id=user_of(user_id),
        message=message(source, "header.message"),
        create_session=session(create, "header.create_session") if create is not None else None,
        expected_last_sequence=expected_last_sequence,
        history=history_options(history),
        on_break=number(ON_BREAKS, on_break, "header.on_break"),
    )
    return Piece(header=made)


def finish(
    *,
    usage: types.Usage | None,
    token_count: int | None,
    metadata: types.JsonObject | None,
    payload: bytes,
    payload_type: str,
    status: types.MessageStatus,
) -> Piece:
    """End a message."""
    made = build(
        pb.AppendMessageStreamFinish,
        "finish",
        usage=of_usage(usage, "finish.usage"),
        token_count=token_count,
        metadata=json_object(metadata, "finish.metadata"),
        payload=payload,
        payload_type=payload_type,
        status=number(MESSAGE_STATUSES, status, "finish.status"),
    )
    return Piece(finish=made)


class Written:
    """What has been written of a message: to send it once more, as a whole."""

    def __init__(self, begun: Piece) -> None:
        self._begun = begun
        message = begun.header.message
        self._content = StringIO() if message.HasField("content") else None
        self._calls = [StringIO() for _ in message.tool_calls]
        self._heads = [message_pb2.ToolCall() for _ in message.tool_calls]
        self._parts: list[message_pb2.Part] = []

    def text(self, text: str) -> Piece:
        """Add text; return the piece that does."""
        delta = build(pb.AppendMessageStreamDelta, "delta", text=text)
        if self._content is None:
            self._content = StringIO()
        self._content.write(text)
        return Piece(delta=delta)

    def call(self, name: str, arguments: str, call_id: str) -> tuple[int, Piece]:
        """Begin a tool call; return its index, and the piece that does."""
        index, path = len(self._calls), "delta.tool_calls[0]"
        more = build(pb.ToolCallDelta, path, index=index, id=call_id, name=name, arguments=arguments)
        self._heads.append(message_pb2.ToolCall(id=call_id, name=name))
        self._calls.append(StringIO())
        self._calls[index].write(arguments)
        return index, Piece(delta=pb.AppendMessageStreamDelta(tool_calls=[more]))

    def arguments(self, index: int, arguments: str) -> Piece:
        """Add to the arguments of a tool call; return the piece that does."""
        path = "delta.tool_calls[0]"
        if not 0 <= index < len(self._calls):
            raise invalid_field(f"{path}.index", "must be that of a call that has begun")
        more = build(pb.ToolCallDelta, path, index=index, arguments=arguments)
        self._calls[index].write(arguments)
        return Piece(delta=pb.AppendMessageStreamDelta(tool_calls=[more]))

    def part(self, part: types.Part) -> Piece:
        """Add a part; return the piece that does."""
        made = message_part(part, "delta.parts[0]")
        self._parts.append(made)
        return Piece(delta=pb.AppendMessageStreamDelta(parts=[made]))

    def whole(self) -> Piece:
        """Return a header with all that has been written."""
        whole = Piece()
        whole.CopyFrom(self._begun)
        message = whole.header.message
        if self._content is not None:
            message.content += self._content.getvalue()
        for index, (head, arguments) in enumerate(zip(self._heads, self._calls, strict=True)):
            if index == len(message.tool_calls):
                message.tool_calls.append(head)
            message.tool_calls[index].arguments += arguments.getvalue()
        message.parts.extend(self._parts)
        return whole
