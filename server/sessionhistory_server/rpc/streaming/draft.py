"""A message that arrives in pieces. Its size is limited, and its arrived part can be stored at any time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory_server import limits
from sessionhistory_server.errors import FieldViolation, InvalidArgumentError
from sessionhistory_server.rpc.validation import message as rules
from sessionhistory_server.rpc.validation.checks import Checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory.v1 import append_message_stream_pb2 as stream_pb

# The maximum of bytes by which a delta lengthens the frames of a tool call and of its fields.
_CALL_FRAME_BYTES: Final = 16


@dataclass(slots=True)
class _ToolCall:
    """The arrived part of a tool call. A list with a str for each delta would take ten times the memory."""

    id: str = ""
    name: str = ""
    arguments: bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        """The bytes that the tool call takes in the message."""
        sizes = (len(self.id.encode()), len(self.name.encode()), len(self.arguments))
        return _field_size(sum(_field_size(size) for size in sizes if size))

    def add(self, delta: stream_pb.ToolCallDelta) -> None:
        """Add a delta to the tool call."""
        self.id = delta.id or self.id
        self.name = delta.name or self.name
        self.arguments += delta.arguments.encode()


class Draft:
    """The arrived part of a message. A delta is added completely, or refused.

    Args:
        begun: The message as the header has it. The draft changes it, because a copy would take memory, too.
    """

    def __init__(self, begun: mpb.Message) -> None:
        self._fixed = begun
        # COMPLETE takes as many bytes as INTERRUPTED, so the size holds for both.
        self._fixed.status = begun.status or mpb.MESSAGE_STATUS_COMPLETE
        self._content = bytearray(begun.content.encode()) if begun.HasField("content") else None
        self._calls = [_ToolCall(c.id, c.name, bytearray(c.arguments.encode())) for c in begun.tool_calls]
        self._fixed.ClearField("content")
        self._fixed.ClearField("tool_calls")
        self._size = self._fixed.ByteSize() + sum(call.size for call in self._calls)

    @property
    def is_empty(self) -> bool:
        """Whether the arrived part has no content, tool calls, parts or payload."""
        return not (self._content or self._calls or self._fixed.parts or self._fixed.payload)

    def add(self, delta: stream_pb.AppendMessageStreamDelta) -> None:
        """Add a delta.

        Raises:
            InvalidArgumentError: the delta breaks a rule, or the message would be too large.
        """
        text = delta.text.encode()
        self._check_bounds(delta, len(text))
        self._check(delta)
        if delta.HasField("text"):
            self._content = self._content or bytearray()
            self._content += text
        for more in delta.tool_calls:
            if more.index == len(self._calls):
                self._calls.append(_ToolCall())
            else:
                self._size -= self._calls[more.index].size
            self._calls[more.index].add(more)
            self._size += self._calls[more.index].size
        for part in delta.parts:
            self._fixed.parts.append(part)
            self._size += _field_size(part.ByteSize())

    def interrupted(self) -> mpb.Message:
        """Return the arrived part as an interrupted message."""
        message = self._message()
        message.status = mpb.MESSAGE_STATUS_INTERRUPTED
        return message

    def finished(self, finish: stream_pb.AppendMessageStreamFinish) -> mpb.Message:
        """Return the whole message.

        Raises:
            InvalidArgumentError: the finish breaks a rule, or the message would be too large.
        """
        message = self._message()
        said = mpb.Message(**{name.name: value for name, value in finish.ListFields()})
        for descriptor, _ in said.ListFields():
            message.ClearField(descriptor.name)
        message.MergeFrom(said)
        checks = Checks()
        rules.check_message(checks, "finish", message)
        checks.finish()
        return message

    def _message(self) -> mpb.Message:
        message = mpb.Message()
        message.CopyFrom(self._fixed)
        if self._content is not None:
            message.content = self._content.decode()
        for call in self._calls:
            message.tool_calls.add(id=call.id, name=call.name, arguments=call.arguments.decode())
        return message

    def _check(self, delta: stream_pb.AppendMessageStreamDelta) -> None:
        checks = Checks("delta.")
        checks.text("text", delta.text)
        self._check_tool_calls(checks, delta.tool_calls)
        rules.check_parts(checks, "parts", delta.parts)
        fits = len(self._fixed.parts) + len(delta.parts) <= limits.MAX_PARTS
        checks.require(fits, "parts", f"must not give the message more than {limits.MAX_PARTS} parts")
        checks.finish()

    def _check_bounds(self, delta: stream_pb.AppendMessageStreamDelta, text_bytes: int) -> None:
        """Refuse a delta that is too large, before the rules examine its content."""
        checks = Checks("delta.")
        checks.length("tool_calls", delta.tool_calls, limits.MAX_TOOL_CALLS)
        checks.length("parts", delta.parts, limits.MAX_PARTS)
        checks.finish()
        size = self._size + _field_size(len(self._content or b"") + text_bytes)
        size += sum(_field_size(part.ByteSize()) for part in delta.parts)
        size += sum(more.ByteSize() + _CALL_FRAME_BYTES for more in delta.tool_calls)
        if size > limits.MAX_MESSAGE_BYTES:
            rule = f"must not make the message larger than {limits.MAX_MESSAGE_BYTES} bytes"
            raise InvalidArgumentError(FieldViolation("delta", rule))

    def _check_tool_calls(self, checks: Checks, deltas: Sequence[stream_pb.ToolCallDelta]) -> None:
        checks.require(not (deltas and self._fixed.pinned), "tool_calls", "must not be in a pinned message")
        count = len(self._calls)
        for index, delta in enumerate(deltas):
            path = f"tool_calls[{index}]"
            last = min(count, limits.MAX_TOOL_CALLS - 1)
            checks.require(0 <= delta.index <= last, f"{path}.index", f"must be 0 to {last}")
            begins = delta.index == count
            checks.require(delta.name or not begins, f"{path}.name", "is required for a new call")
            checks.text(f"{path}.id", delta.id, limits.MAX_TOOL_CALL_ID_CHARACTERS)
            checks.text(f"{path}.name", delta.name, limits.MAX_NAME_CHARACTERS)
            checks.text(f"{path}.arguments", delta.arguments)
            count += begins


def _field_size(length: int) -> int:
    """Return the bytes of a field with a value of this length, with its number and its length."""
    return 1 + max(1, -(-length.bit_length() // 7)) + length
