"""The pieces of a streamed answer, and the message that they make."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypedDict

from sessionhistory.types import Message, MessageStatus, Part, Role, ToolCall, Usage

if TYPE_CHECKING:
    from sessionhistory.formats._content import Json


class Writer(Protocol):
    """The methods of ``MessageStream`` and of ``AsyncMessageStream`` that write a piece."""

    def write(self, text: str, /) -> Any:  # noqa: ANN401 - a coroutine for asyncio
        """Add text."""

    def call_tool(self, name: str, arguments: str = "", *, id: str = "") -> Any:  # noqa: A002, ANN401
        """Begin a tool call."""

    def write_arguments(self, index: int, arguments: str, /) -> Any:  # noqa: ANN401
        """Add to the arguments of a tool call."""

    def add_part(self, part: Part, /) -> Any:  # noqa: ANN401
        """Add a part."""


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text of the answer."""

    text: str

    def write_to(self, stream: Writer) -> Any:  # noqa: ANN401 - a coroutine for asyncio
        """Write the piece to a stream; with a stream of asyncio, await the result."""
        return stream.write(self.text)


@dataclass(frozen=True, slots=True)
class CallPiece:
    """The beginning of a tool call."""

    call: ToolCall

    def write_to(self, stream: Writer) -> Any:  # noqa: ANN401
        """Write the piece to a stream; with a stream of asyncio, await the result."""
        return stream.call_tool(self.call.name, self.call.arguments, id=self.call.id)


@dataclass(frozen=True, slots=True)
class ArgumentsPiece:
    """More of the arguments of a tool call, which is named by its place among the calls of the message."""

    index: int
    arguments: str

    def write_to(self, stream: Writer) -> Any:  # noqa: ANN401
        """Write the piece to a stream; with a stream of asyncio, await the result."""
        return stream.write_arguments(self.index, self.arguments)


@dataclass(frozen=True, slots=True)
class PartPiece:
    """A part: media, JSON, or reasoning."""

    part: Part

    def write_to(self, stream: Writer) -> Any:  # noqa: ANN401
        """Write the piece to a stream; with a stream of asyncio, await the result."""
        return stream.add_part(self.part)


Piece = TextPiece | CallPiece | ArgumentsPiece | PartPiece


class Finish(TypedDict, total=False):
    """The arguments of a stream's ``finish``."""

    usage: Usage | None
    payload: bytes
    payload_type: str
    status: MessageStatus
    finish_reason: str


@dataclass(slots=True)
class Draft:
    """The message that the pieces of a stream make. Each method that adds something returns its piece."""

    header: Message
    content: str | None = None
    calls: list[ToolCall] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    @classmethod
    def of(cls, provider: str, model: str) -> Draft:
        """Return an empty draft of an answer."""
        return cls(Message(role=Role.ASSISTANT, provider=provider, model=model))

    def name_model(self, model: str) -> None:
        """Set the model that the stream names, unless the caller has named one."""
        if not self.header.model:
            self.header = replace(self.header, model=model)

    def text(self, text: str) -> list[Piece]:
        """Add text."""
        self.content = (self.content or "") + text
        return [TextPiece(text)]

    def call(self, call: ToolCall) -> list[Piece]:
        """Begin a tool call."""
        self.calls.append(call)
        return [CallPiece(call)]

    def arguments(self, index: int, arguments: str) -> list[Piece]:
        """Add to the arguments of a call."""
        call = self.calls[index]
        self.calls[index] = replace(call, arguments=call.arguments + arguments)
        return [ArgumentsPiece(index, arguments)]

    def part(self, part: Part) -> list[Piece]:
        """Add a part."""
        self.parts.append(part)
        return [PartPiece(part)]

    def message(self, finish: Finish) -> Message:
        """Return the whole message."""
        parts, calls = tuple(self.parts), tuple(self.calls)
        return replace(self.header, content=self.content, tool_calls=calls, parts=parts, **finish)


class Reader:
    """The part of a ``StreamReader`` that all formats share. A format sets ``_draft`` and has ``feed``.

    Args:
        model: The model that the caller has asked for; empty: the model that the stream names.
    """

    provider: ClassVar[str]

    def __init__(self, model: str = "") -> None:
        self._draft = Draft.of(self.provider, model)

    def header(self) -> Message:
        """Return the beginning of the message, for ``append_message_stream``: role, provider and model."""
        return self._draft.header

    def feed(self, event: Json | str | bytes) -> list[Piece]:
        """Return the pieces of an event. Each has ``write_to``, which takes the stream."""
        raise NotImplementedError

    def finish(self) -> Finish:
        """Return the arguments of the stream's ``finish``. Without the last event it is ``INTERRUPTED``."""
        raise NotImplementedError

    def message(self) -> Message:
        """Return the whole message, as the stream stores it."""
        return self._draft.message(self.finish())
