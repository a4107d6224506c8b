"""Build the requests of a message that is stored while it is written."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Final

from sessionhistory._codec.fields import build, invalid_field
from sessionhistory._codec.message import encode_part
from sessionhistory.v1 import append_message_stream_pb2 as pb
from sessionhistory.v1 import message_pb2

if TYPE_CHECKING:
    from sessionhistory import types

_TOOL_CALL_PATH: Final = "delta.tool_calls[0]"


class WrittenMessage:
    """A message that is being written. It builds the requests, and keeps all additions.

    If the server is lost, the client sends the whole message again from here.
    """

    def __init__(self, header: pb.AppendMessageStreamRequest) -> None:
        self._header = header
        message = header.header.message
        self._content = StringIO() if message.HasField("content") else None
        self._arguments = [StringIO() for _ in message.tool_calls]
        self._tool_calls = [message_pb2.ToolCall() for _ in message.tool_calls]
        self._parts: list[message_pb2.Part] = []

    def add_text(self, text: str) -> pb.AppendMessageStreamRequest:
        """Add text to the content; return the request that adds it."""
        delta = build(pb.AppendMessageStreamDelta, "delta", text=text)
        if self._content is None:
            self._content = StringIO()
        self._content.write(text)
        return pb.AppendMessageStreamRequest(delta=delta)

    def begin_tool_call(
        self, name: str, arguments: str, call_id: str
    ) -> tuple[int, pb.AppendMessageStreamRequest]:
        """Begin a tool call; return its index, and the request that begins it."""
        index = len(self._arguments)
        request = _tool_call_request(index=index, id=call_id, name=name, arguments=arguments)
        self._tool_calls.append(message_pb2.ToolCall(id=call_id, name=name))
        self._arguments.append(StringIO())
        self._arguments[index].write(arguments)
        return index, request

    def add_arguments(self, index: int, arguments: str) -> pb.AppendMessageStreamRequest:
        """Add to the arguments of a tool call; return the request that adds them."""
        if not 0 <= index < len(self._arguments):
            raise invalid_field(f"{_TOOL_CALL_PATH}.index", "must be that of a call that has begun")
        request = _tool_call_request(index=index, arguments=arguments)
        self._arguments[index].write(arguments)
        return request

    def add_part(self, part: types.Part) -> pb.AppendMessageStreamRequest:
        """Add a part; return the request that adds it."""
        made = encode_part(part, "delta.parts[0]")
        self._parts.append(made)
        return pb.AppendMessageStreamRequest(delta=pb.AppendMessageStreamDelta(parts=[made]))

    def whole(self) -> pb.AppendMessageStreamRequest:
        """Return a header with the whole message until now."""
        whole = pb.AppendMessageStreamRequest()
        whole.CopyFrom(self._header)
        message = whole.header.message
        if self._content is not None:
            message.content += self._content.getvalue()
        for index, (call, arguments) in enumerate(zip(self._tool_calls, self._arguments, strict=True)):
            if index == len(message.tool_calls):
                message.tool_calls.append(call)
            message.tool_calls[index].arguments += arguments.getvalue()
        message.parts.extend(self._parts)
        return whole


def _tool_call_request(**fields: object) -> pb.AppendMessageStreamRequest:
    delta = build(pb.ToolCallDelta, _TOOL_CALL_PATH, **fields)
    return pb.AppendMessageStreamRequest(delta=pb.AppendMessageStreamDelta(tool_calls=[delta]))
